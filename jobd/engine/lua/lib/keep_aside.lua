-- include: load_holders
-- include: has_aside
-- include: room_of
-- include: place_delayed
-- include: mark_delayed
-- keep_aside(limit, ids, now_ms): of delayed jobs that are due, those that were set aside and whose key is still full are
-- delayed by another minute where they are, and nobody is told; returns the others. Without it thousands of jobs of one
-- busy key would go to wait and back once a minute, with two events each.
-- Keys: delayed, marker, jobd-keys, jobd-aside:<key>, locks, active and job hashes under holders.base.
local function keep_aside(limit, ids, now_ms)
  local holders, keys, known, room, due = limit.holders, {}, {}, {}, {}
  local base = holders.base
  for i, id in ipairs(ids) do
    local key = redis.pcall('HGET', base .. id, 'jobdkey')
    keys[i] = type(key) == 'string' and key -- else what became of the hash is no job's
    known[#known + 1] = keys[i] or nil
  end
  load_holders(holders, known)
  for i, id in ipairs(ids) do
    local key = keys[i]
    local waits = key and has_aside(holders, key)
    if waits and not room[key] then
      room[key] = room_of(holders, key, limit.most)
    end
    if waits and room[key] < 1 and redis.call('ZSCORE', base .. 'jobd-aside:' .. key, id) then
      place_delayed(base, id, now_ms + 60000)
    else
      due[#due + 1] = id
      if waits then
        room[key] = room[key] - 1
      end
    end
  end
  if #due < #ids then
    mark_delayed(base)
  end
  return due
end
