-- include: attach_parent
-- include: check_adding
-- include: place_waiting
-- include: place_prioritized
-- include: place_delayed
-- include: claim_deduplication
-- insert_job(base, job, max_len, now_ms, deferred): one job is in its queue, or what has its id or its deduplication id
-- is told. The marker is the caller's: `job.ready` or `job.due` is true then.
-- job: {id, custom, name, data, opts (JSON), timestamp, delay, priority (numbers), lifo, de, parent = {key, text},
-- children (it has some: it waits for them), scheduler and deid (an iteration's: the deduplication id is only noted)};
-- custom: the id is the producer's. deferred: as attach_parent's.
-- Returns: the id; the stream id of the add's last event, or false; 0 added, 1 the id existed, 2 deduplicated, -7 it has
-- another parent (codes.py)
-- Events: added, then waiting | delayed | waiting-children; or duplicated; or deduplicated (replace: removed, …)
local function insert_job(base, job, max_len, now_ms, deferred)
  local key, events = base .. job.id, base .. 'events'

  local function tell(...)
    return redis.call('XADD', events, 'MAXLEN', '~', max_len, '*', 'event', ...)
  end

  if job.custom and redis.call('EXISTS', key) == 1 then
    if job.parent and not attach_parent(base, job.id, job.parent, now_ms, deferred) then
      return job.id, false, -7
    end
    return job.id, tell('duplicated', 'jobId', job.id), 1
  end
  check_adding(base, job)
  if job.de then
    local owner, event_id = claim_deduplication(base, job, max_len)
    if owner then
      return owner, event_id, 2
    end
  end
  redis.call('HSET', key, 'name', job.name, 'data', job.data, 'opts', job.opts, 'timestamp',
    string.format('%.0f', job.timestamp), 'delay', string.format('%.0f', job.delay), 'priority',
    string.format('%.0f', job.priority))
  if job.de or job.deid then
    redis.call('HSET', key, 'deid', job.deid or job.de.id)
  end
  if job.scheduler then
    redis.call('HSET', key, 'rjk', job.scheduler)
  end
  if job.parent then
    redis.call('HSET', key, 'parentKey', job.parent.key, 'parent', job.parent.text)
  end
  redis.call('XADD', events, '*', 'event', 'added', 'jobId', job.id, 'name', job.name)
  local event_id
  if job.children then
    redis.call('ZADD', base .. 'waiting-children', string.format('%.0f', job.timestamp), job.id)
    event_id = tell('waiting-children', 'jobId', job.id)
  elseif job.delay > 0 then
    local due_ms = job.timestamp + job.delay
    place_delayed(base, job.id, due_ms)
    job.due = true
    event_id = tell('delayed', 'jobId', job.id, 'delay', string.format('%.0f', due_ms))
  else
    if job.priority > 0 then
      place_prioritized(base, job.id, job.priority, false)
    else
      place_waiting(base, job.id, job.lifo)
    end
    job.ready = true
    event_id = tell('waiting', 'jobId', job.id)
  end
  if job.parent then
    redis.call('SADD', job.parent.key .. ':dependencies', key)
  end
  return job.id, event_id, 0
end
