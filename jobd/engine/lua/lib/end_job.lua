-- include: count_up
-- include: delete_job
-- include: trim_finished
-- include: release_deduplication
-- end_job(base, id, set, value, keep, attempts, now_ms, max_len): an active job, its lock and its place in active
-- already gone, is completed or failed for good.
-- set is 'completed' (value: the returnvalue, JSON) or 'failed' (value: the failedReason); keep is {count, age_s,
-- limit}, numbers or nil, count 0 deletes the job; attempts is the effective number of tries.
-- Events: completed | failed (+ retries-exhausted). The order is BullMQ's: deduplication, attempt, place, events.
local function end_job(base, id, set, value, keep, attempts, now_ms, max_len)
  local job, events, now = base .. id, base .. 'events', string.format('%.0f', now_ms)
  local dedup_id = redis.call('HGET', job, 'deid')
  if dedup_id then
    release_deduplication(base, id, dedup_id, now_ms, max_len)
  end
  local made = count_up(job, 'atm')
  local field = set == 'completed' and 'returnvalue' or 'failedReason'
  if keep.count == 0 then
    delete_job(base, id)
  else
    redis.call('ZADD', base .. set, now, id)
    redis.call('HSET', job, field, value, 'finishedOn', now)
    redis.call('HDEL', job, 'sus', set == 'failed' and 'defa' or 'sus')
    if keep.count or keep.age_s then
      trim_finished(base, base .. set, now_ms, keep.count, keep.age_s, keep.limit)
    end
  end
  redis.call('XADD', events, '*', 'event', set, 'jobId', id, field, value, 'prev', 'active')
  if set == 'failed' and made >= attempts then
    redis.call('XADD', events, '*', 'event', 'retries-exhausted', 'jobId', id, 'attemptsMade', made)
  end
end
