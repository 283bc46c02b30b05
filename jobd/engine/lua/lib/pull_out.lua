-- include: still_waits
-- pull_out(base, id): a job that was set aside is out of the place where it waits; false when it does not wait any more.
-- In wait only the thousand ids at either end are looked at: where it was brought forward, and where it is when due.
-- Events: waiting (prev delayed) for one that was delayed
local function pull_out(base, id)
  local wait = base .. 'wait'
  if redis.call('ZREM', base .. 'delayed', id) == 1 then
    redis.call('HSET', base .. id, 'delay', '0')
    redis.call('XADD', base .. 'events', '*', 'event', 'waiting', 'jobId', id, 'prev', 'delayed')
    return true
  end
  if not still_waits(base, id) then
    return false
  end
  if redis.call('ZREM', base .. 'prioritized', id) == 1 then
    return true
  end
  for _, rank in ipairs({ -1, 1 }) do
    if redis.call('LPOS', wait, id, 'RANK', rank, 'MAXLEN', 1000) then
      return redis.call('LREM', wait, rank, id) > 0
    end
  end
  return false
end
