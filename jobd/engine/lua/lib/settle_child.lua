-- include: json_of
-- include: parent_place
-- include: release_parent
-- settle_child(job, parent_key, parent_text, set, value, now_ms): a parent knows how its child ended, and runs when it
-- waited for nothing else, or when a failure of this child says so.
-- job is the child's key; parent_key and parent_text (JSON) its fields parentKey and parent; set and value as end_job's.
-- A failed child without any of BullMQ's four flags changes nothing: its parent waits until it is retried or removed.
-- Keys: the parent's hash, its dependencies, processed, failed, unsuccessful; those of release_parent; failed under the
-- parent's base.   Events: those of release_parent, in the parent's queue
local function settle_child(job, parent_key, parent_text, set, value, now_ms)
  local flags = json_of(parent_text)
  local base, id = parent_place(parent_key, parent_text)
  local dependencies = parent_key .. ':dependencies'
  local completed = set == 'completed'
  if not completed and not (flags.fpof or flags.cpof or flags.idof or flags.rdof) then
    return
  end
  if redis.call('SREM', dependencies, job) == 0 then
    return
  end
  if completed then
    redis.call('HSET', parent_key .. ':processed', job, value)
  elseif flags.fpof then
    redis.call('ZADD', parent_key .. ':unsuccessful', string.format('%.0f', now_ms), job)
    if redis.call('EXISTS', parent_key) == 0 or redis.call('ZSCORE', base .. 'failed', id) then
      return
    end
    -- Whoever takes it fails it with this text, without running it.
    redis.call('HSET', parent_key, 'defa', 'child ' .. job .. ' failed')
    if redis.call('ZSCORE', base .. 'delayed', id) then
      redis.call('HSET', parent_key, 'delay', '0')
      release_parent(base, id, now_ms, 'delayed')
    else
      release_parent(base, id, now_ms)
    end
    return
  elseif flags.cpof then
    redis.call('HSET', parent_key .. ':failed', job, value)
    release_parent(base, id, now_ms)
    return
  elseif flags.idof then
    redis.call('HSET', parent_key .. ':failed', job, value)
  end
  if redis.call('SCARD', dependencies) == 0 then
    release_parent(base, id, now_ms)
  end
end
