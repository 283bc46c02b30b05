-- retry_job: a finished job waits to run again.
-- Promise:    it leaves failed (or completed), forgets how it ended and runs by its live priority; attempts made, stack
--             traces and deduplication stay, as with BullMQ's Job.retry. A parent that counted its end waits for it
--             again; where that parent is does not change.
-- KEYS:       1 job (hash)   2 failed   3 completed (sorted sets)   4 meta (hash)   5 events (stream)
-- ARGV:       1 base (key prefix of the queue; wait, paused, prioritized, pc, marker, active are made from it; the
--             parent's keys from the job's own field)   2 job id
-- Returns:    0 retried; -1 no such job; -3 not finished (codes.py)
-- Events:     waiting (prev failed | completed)
-- Complexity: O(log n)

-- include: check_places
-- include: max_events
-- include: place_prioritized
-- include: place_waiting
-- include: wake
-- include: is_set

local job, failed, completed, meta, events = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local base, id = ARGV[1], ARGV[2]

if redis.call('EXISTS', job) == 0 then
  return -1
end
check_places(base)
local prev
if redis.call('ZREM', failed, id) == 1 then
  prev = 'failed'
elseif redis.call('ZREM', completed, id) == 1 then
  prev = 'completed'
else
  return -3
end
redis.call('HDEL', job, 'finishedOn', 'processedOn', prev == 'failed' and 'failedReason' or 'returnvalue', 'sus', 'defa',
  'jobdback')
local stored = redis.call('HMGET', job, 'priority', 'opts', 'parentKey')
local parent_key = stored[3]
local ok, opts = pcall(cjson.decode, stored[2] or '{}')
local lifo = ok and type(opts) == 'table' and is_set(opts.lifo)
local priority = tonumber(stored[1] or '') or 0
if priority > 0 then
  place_prioritized(base, id, priority, false)
else
  place_waiting(base, id, lifo)
end
wake(base)
if parent_key and redis.call('EXISTS', parent_key) == 1 then
  local counted = redis.call('HDEL', parent_key .. (prev == 'failed' and ':failed' or ':processed'), job)
  if prev == 'failed' then
    counted = counted + redis.call('ZREM', parent_key .. ':unsuccessful', job)
  end
  if counted > 0 then
    redis.call('SADD', parent_key .. ':dependencies', job)
  end
end
redis.call('XADD', events, 'MAXLEN', '~', max_events(meta), '*', 'event', 'waiting', 'jobId', id, 'prev', prev)
return 0
