-- include: wake
-- include: waiting_list
-- include: place_ready
-- include: mark_delayed
-- release_parent(base, id, now_ms, from): a parent that is in the set `from` of its queue (waiting-children when nil)
-- waits to run: at the front, by its priority, or delayed by its own delay. Idle workers of that queue are woken.
-- Returns whether it was there. An error, before anything has changed, when a key it would go to is of a wrong type.
-- Keys: the parent's hash; waiting-children, wait, paused, prioritized, pc, delayed, marker, meta, active, events under
-- base.   Events: waiting (prev waiting-children) or delayed
local function release_parent(base, id, now_ms, from)
  local job, events = base .. id, base .. 'events'
  if redis.call('EXISTS', job) == 0 then
    return false
  end
  redis.call('LLEN', waiting_list(base))
  redis.call('ZCARD', base .. 'prioritized')
  redis.call('ZCARD', base .. 'delayed')
  redis.call('XLEN', events)
  if redis.call('ZREM', base .. (from or 'waiting-children'), id) == 0 then
    return false
  end
  local stored = redis.call('HMGET', job, 'priority', 'delay')
  local delay = tonumber(stored[2] or '') or 0
  if delay > 0 then
    local due = now_ms + delay
    -- No step for those of the same millisecond, as BullMQ.
    redis.call('ZADD', base .. 'delayed', string.format('%.0f', due * 4096), id)
    redis.call('XADD', events, '*', 'event', 'delayed', 'jobId', id, 'delay', string.format('%.0f', due))
    mark_delayed(base)
    return true
  end
  place_ready(base, id, tonumber(stored[1] or '') or 0, true, true)
  wake(base)
  redis.call('XADD', events, '*', 'event', 'waiting', 'jobId', id, 'prev', 'waiting-children')
  return true
end
