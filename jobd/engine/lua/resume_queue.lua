-- resume_queue: workers take jobs again.
-- Promise:    the pause and its reason are gone, idle workers are woken. Ids that BullMQ 5 put into the list `paused`
--             are at the front of wait again, in their order, up to `limit` of them a call: repeat until 0 is returned.
-- KEYS:       1 meta (hash)   2 paused   3 wait (lists)   4 prioritized (sorted set)   5 events (stream)
-- ARGV:       1 base (key prefix of the queue; active, delayed and marker are made from it)   2 limit (integer)
-- Returns:    {1 it was paused | 0, ids left in paused}
-- Events:     resumed
-- Complexity: O(limit)

-- include: wake
-- include: mark_delayed

local meta, paused, wait, prioritized, events = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local base, limit = ARGV[1], tonumber(ARGV[2])

local function merge_legacy()
  if redis.call('EXISTS', paused) == 0 then
    return
  end
  if redis.call('EXISTS', wait) == 0 then
    redis.call('RENAME', paused, wait)
    return
  end
  local moved = 0
  while moved < limit do
    local ids = redis.call('LRANGE', paused, 0, math.min(1000, limit - moved) - 1)
    if #ids == 0 then
      return
    end
    redis.call('RPUSH', wait, unpack(ids))
    redis.call('LTRIM', paused, #ids, -1)
    moved = moved + #ids
  end
end

local was = redis.call('HDEL', meta, 'paused')
redis.call('HDEL', meta, 'jobd:paused_by', 'jobd:paused_at', 'jobd:paused_why')
merge_legacy()
if redis.call('LLEN', wait) > 0 or redis.call('ZCARD', prioritized) > 0 then
  wake(base)
else
  mark_delayed(base)
end
redis.call('XADD', events, '*', 'event', 'resumed')
return {was, redis.call('LLEN', paused)}
