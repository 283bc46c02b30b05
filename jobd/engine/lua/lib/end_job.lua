-- include: count_up
-- include: delete_job
-- include when used: trim_finished
-- include when used: release_deduplication
-- include when used: settle_child
-- include when used: leave_parent
-- include when used: copy_dead
-- end_job(base, id, set, value, keep, attempts, now_ms, max_len, prev, dead): an active job, its lock and its place in
-- active already gone, is completed or failed for good. prev: it was no active one but in this state; no attempt is
-- counted. dead: the base of the queue that gets a copy of a failed one (copy_dead), nil or '' for none.
-- set is 'completed' (value: the returnvalue, JSON) or 'failed' (value: the failedReason); keep is {count, age_s,
-- limit}, numbers or nil, count 0 deletes the job; attempts is the effective number of tries.
-- Events: those of the parent; completed | failed (+ retries-exhausted). The order is BullMQ's: deduplication, parent,
-- attempt, place, events.
local function end_job(base, id, set, value, keep, attempts, now_ms, max_len, prev, dead)
  local job, events, now = base .. id, base .. 'events', string.format('%.0f', now_ms)
  local stored = redis.call('HMGET', job, 'deid', 'parentKey', 'parent', 'sus', 'defa')
  local dedup_id, parent_key = stored[1], stored[2]
  if dedup_id then
    release_deduplication(base, id, dedup_id, now_ms, max_len)
  end
  if parent_key then
    -- Keys of a wrong type in another queue must not cost this job its end.
    pcall(settle_child, job, parent_key, stored[3], set, value, now_ms)
  end
  local made = prev and -1 or count_up(job, 'atm')
  local field = set == 'completed' and 'returnvalue' or 'failedReason'
  if dead and dead ~= '' and set == 'failed' then
    -- Keys of a wrong type in another queue must not cost this job its end.
    pcall(copy_dead, base, id, dead, value, made, now_ms)
  end
  if keep.count == 0 then
    delete_job(base, id)
    if parent_key then
      pcall(leave_parent, job, parent_key)
    end
  else
    redis.call('ZADD', base .. set, now, id)
    redis.call('HSET', job, field, value, 'finishedOn', now)
    -- One that completes before anybody has failed it keeps its deferred failure, as in BullMQ.
    local failed = set == 'failed'
    if stored[4] or failed and stored[5] then
      redis.call('HDEL', job, 'sus', failed and 'defa' or 'sus')
    end
    if keep.count or keep.age_s then
      trim_finished(base, base .. set, now_ms, keep.count, keep.age_s, keep.limit)
    end
  end
  redis.call('XADD', events, '*', 'event', set, 'jobId', id, field, value, 'prev',
    prev or 'active')
  if set == 'failed' and made >= attempts then
    redis.call('XADD', events, '*', 'event', 'retries-exhausted', 'jobId', id, 'attemptsMade', made)
  end
end
