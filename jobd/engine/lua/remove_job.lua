-- remove_job: a job is gone, with all its keys, and with it those below it in a flow.
-- Promise:    it is in no list or set, its deduplication id is free, its parent no longer waits for it (and is released
--             when it waited for nothing else). A job that somebody runs, or that is a scheduler's next one, stays
--             untouched, and so does a tree while somebody runs a pending child in it. Without `children` those stay,
--             as jobs of their own.
-- KEYS:       1 job (hash)   2 lock   From the bases also: meta, events, the lists and sets, de: and dn:, and per job
--             its sub keys; parents' and children's keys from the jobs' own fields, in whatever queue
-- ARGV:       1 base (key prefix of the queue)   2 job id   3 '1' with its children, '0' alone
-- Returns:    1 removed; 0 locked by a worker; -1 no such job; -8 a scheduler's current job (codes.py)
-- Events:     removed (prev) for each job, children first; in a parent's queue waiting (prev waiting-children) when it is
--             released, as BullMQ tells it also of one that is removed next
-- Complexity: O(log n) a job; O(k) for one that k others in wait or active stand before, the next to run first

-- include: max_events
-- include: delete_job
-- include: split_key
-- include: leave_parent
-- include: is_next_iteration

local job, lock = KEYS[1], KEYS[2]
local base, id, with_children = ARGV[1], ARGV[2], ARGV[3] == '1'
local seen = {}

local function leave(from, job_id)
  for _, set in ipairs({'completed', 'waiting-children', 'delayed', 'failed', 'prioritized'}) do
    if redis.call('ZREM', from .. set, job_id) == 1 then
      return set
    end
  end
  for _, list in ipairs({'wait', 'paused', 'active'}) do
    if redis.call('LREM', from .. list, -1, job_id) > 0 then
      return list
    end
  end
  return 'unknown'
end

-- Whether somebody runs a job that this one still waits for.
local function runs_below(key)
  for _, child in ipairs(redis.call('SMEMBERS', key .. ':dependencies')) do
    if not seen[child] then
      seen[child] = true
      if redis.call('EXISTS', child .. ':lock') == 1 or runs_below(child) then
        return true
      end
    end
  end
  return false
end

local function children_of(key)
  local children = {}
  for _, hash in ipairs({':processed', ':failed'}) do
    for _, child in ipairs(redis.call('HKEYS', key .. hash)) do
      children[#children + 1] = child
    end
  end
  for _, child in ipairs(redis.call('ZRANGE', key .. ':unsuccessful', 0, -1)) do
    children[#children + 1] = child
  end
  for _, child in ipairs(redis.call('SMEMBERS', key .. ':dependencies')) do
    children[#children + 1] = child
  end
  return children
end

local function remove(from, job_id, parent_key)
  local key = from .. job_id
  if seen[key] then
    return -- a circle that somebody wrote by hand
  end
  seen[key] = true
  local stored = redis.call('HMGET', key, 'deid', 'parentKey')
  parent_key = parent_key or (stored[2] and redis.call('EXISTS', stored[2]) == 1 and stored[2])
  if parent_key then
    leave_parent(key, parent_key)
  end
  if with_children then
    for _, child in ipairs(children_of(key)) do
      local child_base, child_id = split_key(child)
      if child_base then
        remove(child_base, child_id, key)
      end
    end
  end
  local prev = leave(from, job_id)
  redis.call('SREM', from .. 'stalled', job_id)
  if stored[1] and redis.call('GET', from .. 'de:' .. stored[1]) == job_id then
    redis.call('DEL', from .. 'de:' .. stored[1], from .. 'dn:' .. stored[1])
  end
  if delete_job(from, job_id) > 0 then
    redis.call('XADD', from .. 'events', 'MAXLEN', '~', max_events(from .. 'meta'), '*', 'event', 'removed', 'jobId',
      job_id, 'prev', prev)
  end
end

if redis.call('EXISTS', lock) == 1 or (with_children and runs_below(job)) then
  return 0
end
local stored = redis.call('HMGET', job, 'rjk', 'timestamp')
if is_next_iteration(base, id, stored[1]) then
  return -8
end
-- A hash without a timestamp is none of a job: meta and a scheduler's record lie under the same prefix.
if not stored[2] then
  local prev = leave(base, id)
  if prev == 'unknown' then
    return -1
  end
end
seen = {}
remove(base, id)
return 1
