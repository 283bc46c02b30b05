-- pause_queue: no worker anywhere takes a job of this queue; who wanted it, when and why is kept.
-- Promise:    jobs stay where they are, active ones go on; paused twice, the last reason stands. Who, when and why are
--             fields of meta, which BullMQ hands on as they are. Where BullMQ 5 is used, waiting ids go to its list
--             `paused`: its resume would lose what is in wait.
-- KEYS:       1 meta (hash)   2 marker (sorted set)   3 events (stream)   4 wait   5 paused (lists)
-- ARGV:       1 base (key prefix of the queue)   2 who   3 now_ms (integer)   4 why ('' for none)
-- Returns:    1 paused now, 0 it was already
-- Events:     paused
-- Complexity: O(1); O(waiting, at most 7000) where both lists have ids

-- include: is_legacy

local meta, marker, events, wait, paused = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local base, who, now_ms, why = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local MOST_MOVED = 7000

if redis.call('EXISTS', wait) == 1 and is_legacy(base, redis.call('HGET', meta, 'version')) then
  if redis.call('EXISTS', paused) == 0 then
    redis.call('RENAME', wait, paused)
  else
    for _ = 1, math.min(MOST_MOVED, redis.call('LLEN', wait)) do
      redis.call('LMOVE', wait, paused, 'RIGHT', 'LEFT')
    end
  end
end
local was = redis.call('HEXISTS', meta, 'paused')
redis.call('HSET', meta, 'paused', 1, 'jobd:paused_by', who, 'jobd:paused_at', now_ms, 'jobd:paused_why', why)
redis.call('DEL', marker)
redis.call('XADD', events, '*', 'event', 'paused')
return 1 - was
