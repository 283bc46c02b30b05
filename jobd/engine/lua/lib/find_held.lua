-- find_held(base, token_prefix): the active jobs whose lock begins with token_prefix, newest first.
-- Keys: active and the locks under base. Returns two lists: ids, lock values.
local function find_held(base, token_prefix)
  local ids, locks, size = {}, {}, #token_prefix
  local from = 0
  while true do
    local batch, keys = redis.call('LRANGE', base .. 'active', from, from + 999), {}
    if #batch == 0 then
      return ids, locks
    end
    for i, id in ipairs(batch) do
      keys[i] = base .. id .. ':lock'
    end
    for i, lock in ipairs(redis.call('MGET', unpack(keys))) do
      if lock and string.sub(lock, 1, size) == token_prefix then
        ids[#ids + 1], locks[#locks + 1] = batch[i], lock
      end
    end
    from = from + 1000
  end
end
