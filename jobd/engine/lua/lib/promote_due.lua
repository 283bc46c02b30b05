-- include: check_places
-- include: wake
-- include: place_ready
-- include when used: keep_aside
-- include when used: is_own_key
-- promote_due(base, now_ms, limit): up to 1000 delayed jobs that are due wait to run, in order of their due times. limit:
-- of limit_per_key; jobs for which it still has no place are not among them. The name of a key of the queue is no job's.
-- Keys: delayed, wait, prioritized, pc, marker, meta, active, events and job hashes under base.
-- Events: waiting (prev delayed) for each. Also while paused or limited, as BullMQ. Returns how many.
local function promote_due(base, now_ms, limit)
  local delayed = base .. 'delayed'
  -- The bound is the last score of this millisecond: jobs due right now may carry a tie step.
  local bound = string.format('%.0f', (now_ms + 1) * 4096 - 1)
  local ids = redis.call('ZRANGEBYSCORE', delayed, '-inf', bound, 'LIMIT', '0', '1000')
  if #ids == 0 then
    return 0
  end
  check_places(base)
  if limit then
    ids = keep_aside(limit, ids, now_ms)
    if #ids == 0 then
      return 0
    end
  end
  redis.call('ZREM', delayed, unpack(ids))
  for _, id in ipairs(ids) do
    -- pcall: a hash that became something else must not cost the others, out of delayed by now, their place.
    local job = base .. id
    local priority = redis.pcall('HGET', job, 'priority')
    if type(priority) == 'string' or not is_own_key(id) then
      place_ready(base, id, type(priority) == 'string' and tonumber(priority) or 0, false)
      redis.call('XADD', base .. 'events', '*', 'event', 'waiting', 'jobId', id, 'prev', 'delayed')
      redis.pcall('HSET', job, 'delay', '0')
    end
  end
  wake(base)
  return #ids
end
