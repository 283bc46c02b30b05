-- cancel_job: a job that has not ended is to run no more.
-- Promise:    one that waits, in whatever way, has failed with the reason, its attempts as they were; one that somebody
--             runs carries the reason as BullMQ's deferred failure (defa): its holder stops it at its next renewal, and
--             whoever takes it after all, Node too, fails it without running it. A finished job stays untouched.
-- KEYS:       1 job (hash)   2 meta (hash)   3 active (list)   4 events (stream)
--             From base also the lists and sets of the states, repeat, id, de:, dn:, marker, and per job its sub keys;
--             a parent's keys from the job's own fields
-- ARGV:       1 base (key prefix of the queue)   2 job id   3 now_ms   4 reason (failedReason)
-- Returns:    0 failed; 1 it is active and marked; -1 no such job; -3 it has ended; -8 the next job of a scheduler
--             (codes.py)
-- Events:     those of end_job: the parent's, failed (prev the state it was in)
-- Complexity: O(log n); O(k) for one that k others in wait stand before, the next to run first

-- include: max_events
-- include: check_places
-- include: is_next_iteration
-- include: json_of
-- include: keep_rule
-- include: end_job

local job, meta, active = KEYS[1], KEYS[2], KEYS[3]
local base, id, now_ms, reason = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]

local function leave()
  for _, set in ipairs({'delayed', 'prioritized', 'waiting-children'}) do
    if redis.call('ZREM', base .. set, id) == 1 then
      return set
    end
  end
  for _, list in ipairs({'wait', 'paused'}) do
    if redis.call('LREM', base .. list, -1, id) > 0 then
      return 'waiting'
    end
  end
end

check_places(base)
local stored = redis.call('HMGET', job, 'timestamp', 'rjk', 'opts')
if not stored[1] then
  return -1
end
if redis.call('LPOS', active, id) then
  redis.call('HSET', job, 'defa', reason)
  return 1
end
if is_next_iteration(base, id, stored[2]) then
  return -8
end
local prev = leave()
if not prev then
  return -3
end
redis.call('HSET', job, 'failedReason', reason)
end_job(base, id, 'failed', reason, keep_rule(json_of(stored[3]).removeOnFail, {}), 0, now_ms, max_events(meta), prev)
return 0
