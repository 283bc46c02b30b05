-- trim_history: a queue keeps of its finished jobs what the file says, without waiting for one to finish.
-- Promise:    at most 1000 jobs of the set are gone: those older than age_s, newest first, then the oldest above count.
--             Works when Redis is full: what comes first frees memory.
-- KEYS:       1 completed or failed (zset)   From base also per job: its hash and sub keys, and its parent's.
-- ARGV:       1 base (prefix of the queue, ends in a colon)   2 now_ms   3 count ("" for no bound; 0: none stay)
--             4 age_s ("" for no bound)
-- Returns:    how many are gone
-- Events:     none
-- Complexity: O(jobs removed)

-- include: trim_finished

local SET, base, now_ms = KEYS[1], ARGV[1], tonumber(ARGV[2])
local count, age_s = tonumber(ARGV[3]), tonumber(ARGV[4])
local before = redis.call('ZCARD', SET)
if count == 0 then
  age_s = 0
end
trim_finished(base, SET, now_ms, count, age_s, 1000)
return before - redis.call('ZCARD', SET)
