-- remove_job: a job is gone, with all its keys.
-- Promise:    it is in no list or set, its deduplication id is free, its parent no longer waits for it (and is released
--             when it waited for nothing else). A job that somebody runs, or that is a scheduler's next one, stays
--             untouched. Its children stay, as jobs of their own.
-- KEYS:       1 job (hash)   2 lock   3 meta (hash)   4 events (stream)
-- ARGV:       1 base (key prefix of the queue; its lists and sets, de: and dn: keys are made from it; the parent's keys
--             from the job's own fields)   2 job id
-- Returns:    1 removed; 0 locked by a worker; -1 no such job; -8 a scheduler's current job (codes.py)
-- Events:     removed (prev); in the parent's queue waiting (prev waiting-children) when it is released
-- Complexity: O(log n); O(n) of wait and active for a job in them

-- include: max_events
-- include: delete_job
-- include: leave_parent

local job, lock, meta, events = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local base, id = ARGV[1], ARGV[2]

local function leave()
  local sets = {'completed', 'waiting-children', 'delayed', 'failed', 'prioritized'}
  for _, set in ipairs(sets) do
    if redis.call('ZREM', base .. set, id) == 1 then
      return set
    end
  end
  local lists = {'wait', 'paused', 'active'}
  for _, list in ipairs(lists) do
    if redis.call('LREM', base .. list, -1, id) > 0 then
      return list
    end
  end
  return 'unknown'
end

local stored = redis.call('HMGET', job, 'rjk', 'deid', 'parentKey', 'parent')
local scheduler, deduplication, parent_key = stored[1], stored[2], stored[3]
if redis.call('EXISTS', lock) == 1 then
  return 0
end
if scheduler then
  local current = redis.call('ZSCORE', base .. 'repeat', scheduler)
  if current and id == 'repeat:' .. scheduler .. ':' .. string.format('%.0f', tonumber(current)) then
    return -8
  end
end
local prev = leave()
-- An id in no set is a job only if its hash is one: meta and a scheduler's record are hashes under the same prefix.
if prev == 'unknown' and redis.call('HEXISTS', job, 'timestamp') == 0 then
  return -1
end
redis.call('SREM', base .. 'stalled', id)
if deduplication and redis.call('GET', base .. 'de:' .. deduplication) == id then
  redis.call('DEL', base .. 'de:' .. deduplication, base .. 'dn:' .. deduplication)
end
if parent_key then
  redis.pcall('HDEL', parent_key .. ':processed', job)
  redis.pcall('HDEL', parent_key .. ':failed', job)
  redis.pcall('ZREM', parent_key .. ':unsuccessful', job)
  leave_parent(job, parent_key, stored[4])
end
delete_job(base, id)
redis.call('XADD', events, 'MAXLEN', '~', max_events(meta), '*', 'event', 'removed', 'jobId', id, 'prev', prev)
return 1
