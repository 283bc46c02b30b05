-- renew_locks: keep a worker's hold on its jobs.
-- Promise:    a lock lives lock_ms from now for the attempt that owns it. A missing lock is taken again while nobody has
--             taken the job since and its id is in active (Redis was away longer than the lock). Nothing else changes.
-- KEYS:       1 active (list)   2 stalled (set)   From base also per job: its hash and lock.
-- ARGV:       1 base (prefix of the queue, ends in a colon)   2 lock_ms   then 2 per job: job id, token
-- Returns:    per job 1 renewed; the reason as text: renewed, and it was cancelled (cancel_job); -1 no job, -2 lost,
--             -6 lock of another (codes.py)
-- Events:     none
-- Complexity: O(jobs), and O(active) for a missing lock

-- include: holds

local ACTIVE, STALLED, base, lock_ms = KEYS[1], KEYS[2], ARGV[1], ARGV[2]
local JOBS, FROM, SIZE = ARGV, 3, 2
-- How the reason of a cancelled job begins; other deferred failures let the run come to its end.
local CANCELLED = 'cancelled by '

local function renew(id, token)
  local key = base .. id .. ':lock'
  local lock = redis.call('GET', key)
  if lock == token then
    redis.call('PEXPIRE', key, lock_ms)
  else
    local code = holds(base, id, token, lock)
    if code ~= 0 then
      return code
    end
    if not redis.call('LPOS', ACTIVE, id) then
      return -2
    end
    redis.call('SET', key, token, 'PX', lock_ms)
  end
  redis.call('SREM', STALLED, id)
  local deferred = redis.call('HGET', base .. id, 'defa')
  return deferred and string.sub(deferred, 1, #CANCELLED) == CANCELLED and deferred or 1
end

local codes = {}
for at = FROM, #JOBS, SIZE do
  codes[#codes + 1] = renew(JOBS[at], JOBS[at + 1])
end
return codes
