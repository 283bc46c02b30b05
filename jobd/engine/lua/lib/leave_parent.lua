-- include: place_waiting
-- include: wake
-- leave_parent(job, parent_key, parent_text): a parent no longer waits for a child that goes away; it waits to run, at
-- the front, when it waited for nothing else.
-- job is the child's key; parent_key and parent_text (JSON) are its fields parentKey and parent.
-- Events: in the parent's queue waiting (prev waiting-children)
local function leave_parent(job, parent_key, parent_text)
  local dependencies = parent_key .. ':dependencies'
  if redis.pcall('SREM', dependencies, job) ~= 1 or redis.call('SCARD', dependencies) > 0 then
    return
  end
  local ok, parent = pcall(cjson.decode, parent_text or '')
  if not ok or type(parent) ~= 'table' then
    return
  end
  local base, id = tostring(parent.queueKey) .. ':', tostring(parent.id)
  if redis.pcall('ZREM', base .. 'waiting-children', id) == 1 then
    place_waiting(base, id, true)
    wake(base)
    redis.call('XADD', base .. 'events', '*', 'event', 'waiting', 'jobId', id, 'prev', 'waiting-children')
  end
end
