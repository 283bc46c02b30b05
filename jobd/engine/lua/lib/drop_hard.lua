-- include: delete_job
-- include: place_waiting
-- include: split_key
-- include: wake
-- drop_hard(base, id): a job is gone with its keys, as BullMQ's drain, clean and obliterate drop one; its place in a list
-- or set and its lock are the user's. Its deduplication id is free. A parent that waited for nothing else is dropped too
-- when it is in this queue; in another one it waits to run, at the front.
-- Keys: per job its hash and sub keys, de: and dn: under base; of a parent dependencies, waiting-children, wait, marker,
-- meta, active in whatever queue.   Events: none
local function drop_hard(base, id)
  local key = base .. id
  local stored = redis.pcall('HMGET', key, 'deid', 'parentKey')
  local dedup_id, parent_key = stored[1], stored[2]
  if parent_key and redis.call('EXISTS', parent_key) == 1
    and redis.pcall('SREM', parent_key .. ':dependencies', key) == 1
    and redis.call('SCARD', parent_key .. ':dependencies') == 0 then
    local parent_base, parent_id = split_key(parent_key)
    if parent_base and redis.pcall('ZREM', parent_base .. 'waiting-children', parent_id) == 1 then
      if parent_base == base then
        drop_hard(base, parent_id)
      else
        place_waiting(parent_base, parent_id, true)
        wake(parent_base)
      end
    end
  end
  if dedup_id and redis.pcall('GET', base .. 'de:' .. dedup_id) == id then
    redis.call('DEL', base .. 'de:' .. dedup_id, base .. 'dn:' .. dedup_id)
  end
  delete_job(base, id)
end
