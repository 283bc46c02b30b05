-- pause_queue: no worker anywhere takes a job of this queue; who wanted it, when and why is kept.
-- Promise:    jobs stay where they are, active ones go on; paused twice, the last reason stands. Who, when and why are
--             fields of meta, which BullMQ hands on as they are.
-- KEYS:       1 meta (hash)   2 marker (sorted set)   3 events (stream)
-- ARGV:       1 who   2 now_ms (integer)   3 why ('' for none)
-- Returns:    1 paused now, 0 it was already
-- Events:     paused
-- Complexity: O(1)

local meta, marker, events = KEYS[1], KEYS[2], KEYS[3]
local who, now_ms, why = ARGV[1], ARGV[2], ARGV[3]

local was = redis.call('HEXISTS', meta, 'paused')
redis.call('HSET', meta, 'paused', 1, 'jobd:paused_by', who, 'jobd:paused_at', now_ms, 'jobd:paused_why', why)
redis.call('DEL', marker)
redis.call('XADD', events, '*', 'event', 'paused')
return 1 - was
