-- include: place_waiting
-- include: split_key
-- include: wake
-- leave_parent(job, parent_key): a parent no longer waits for a child that goes away; it waits to run, at the front,
-- when it waited for nothing else (BullMQ looks at neither its priority nor its delay here).
-- job is the child's key; parent_key its field parentKey.
-- Events: in the parent's queue waiting (prev waiting-children)
local function leave_parent(job, parent_key)
  local dependencies = parent_key .. ':dependencies'
  if redis.pcall('SREM', dependencies, job) ~= 1 or redis.call('SCARD', dependencies) > 0 then
    return
  end
  local base, id = split_key(parent_key)
  if base and redis.pcall('ZREM', base .. 'waiting-children', id) == 1 then
    place_waiting(base, id, true)
    wake(base)
    redis.call('XADD', base .. 'events', '*', 'event', 'waiting', 'jobId', id, 'prev', 'waiting-children')
  end
end
