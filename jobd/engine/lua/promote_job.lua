-- promote_job: a delayed job waits to run now.
-- Promise:    it leaves delayed and runs by its live priority, behind those that wait already, as with BullMQ's
--             Job.promote. A job in any other state stays untouched.
-- KEYS:       1 job (hash)   2 delayed (sorted set)   3 meta (hash)   4 events (stream)
-- ARGV:       1 base (key prefix of the queue; wait, paused, prioritized, pc, marker, active are made from it)   2 job id
-- Returns:    0 promoted; -1 no such job; -3 not delayed (codes.py)
-- Events:     waiting (prev delayed)
-- Complexity: O(log n)

-- include: check_places
-- include: max_events
-- include: place_ready
-- include: wake

local job, delayed, meta, events = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local base, id = ARGV[1], ARGV[2]

if redis.call('EXISTS', job) == 0 then
  return -1
end
if not redis.call('ZSCORE', delayed, id) then
  return -3
end
check_places(base)
redis.call('ZREM', delayed, id)
place_ready(base, id, tonumber(redis.call('HGET', job, 'priority') or '') or 0, false)
wake(base)
redis.call('XADD', events, 'MAXLEN', '~', max_events(meta), '*', 'event', 'waiting', 'jobId', id, 'prev', 'delayed')
redis.call('HSET', job, 'delay', 0)
return 0
