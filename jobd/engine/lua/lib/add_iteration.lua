-- include: insert_job
-- include: mark_delayed
-- include: wake
-- include: max_events
-- add_iteration(base, sid, slot, cron, name, data, opts, now_ms, late_ms): the job of one iteration of a scheduler is in its queue.
-- opts is decoded JSON and is filled in: jobId, delay, timestamp, repeatJobKey and, for cron patterns, prevMillis.
-- late_ms: how long after its slot it is due. Returns its delay in ms. Events: those of insert_job.
local function add_iteration(base, sid, slot, cron, name, data, opts, now_ms, late_ms)
  local id = 'repeat:' .. sid .. ':' .. string.format('%.0f', slot)
  local delay = math.max(slot + late_ms - now_ms, 0)
  opts.jobId, opts.repeatJobKey, opts.delay, opts.timestamp = id, sid, delay, now_ms
  opts.prevMillis = cron and slot or nil
  redis.call('INCR', base .. 'id')
  local de = type(opts.de) == 'table' and opts.de.id
  local job = { id = id, name = name, data = data, opts = cjson.encode(opts), timestamp = now_ms, delay = delay,
    priority = tonumber(opts.priority) or 0, lifo = opts.lifo == true, scheduler = sid, deid = de or nil }
  insert_job(base, job, max_events(base .. 'meta'), now_ms, {})
  if job.due then
    mark_delayed(base)
  else
    wake(base)
  end
  return delay
end
