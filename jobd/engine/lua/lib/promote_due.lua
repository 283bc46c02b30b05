-- include: check_places
-- include: wake
-- include: place_ready
-- include when used: keep_aside
-- promote_due(base, now_ms, limit): up to 1000 delayed jobs that are due wait to run, in order of their due times. limit:
-- of limit_per_key; jobs for which it still has no place are not among them.
-- Keys: delayed, wait, prioritized, pc, marker, meta, active, events and job hashes under base.
-- Events: waiting (prev delayed) for each. Also while paused or limited, as BullMQ. Returns how many.
local function promote_due(base, now_ms, limit)
  local delayed = base .. 'delayed'
  -- The bound is the last score of this millisecond: jobs due right now may carry a tie step.
  local bound = string.format('%.0f', (now_ms + 1) * 4096 - 1)
  local ids = redis.call('ZRANGEBYSCORE', delayed, '-inf', bound, 'LIMIT', 0, 1000)
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
    local job = base .. id
    place_ready(base, id, tonumber(redis.call('HGET', job, 'priority') or '') or 0, false)
    redis.call('XADD', base .. 'events', '*', 'event', 'waiting', 'jobId', id, 'prev', 'delayed')
    redis.call('HSET', job, 'delay', 0)
  end
  wake(base)
  return #ids
end
