-- change_delay: a delayed job is due at another time.
-- Promise:    it is due delay_ms from now and stays delayed, also when that is at once. A job in any other state stays
--             untouched.
-- KEYS:       1 job (hash)   2 delayed (sorted set)   3 meta (hash)   4 events (stream)   From base also: marker
-- ARGV:       1 base (key prefix of the queue)   2 job id   3 now_ms   4 delay_ms
-- Returns:    0 changed; -1 no such job; -3 not delayed (codes.py)
-- Events:     delayed (the absolute time it is due)
-- Complexity: O(log n)

-- include: max_events
-- include: put_delayed

local job, delayed, meta = KEYS[1], KEYS[2], KEYS[3]
local base, id, now_ms, delay_ms = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])

if redis.call('EXISTS', job) == 0 then
  return -1
end
if redis.call('ZREM', delayed, id) == 0 then
  return -3
end
put_delayed(base, id, delay_ms, now_ms, max_events(meta))
return 0
