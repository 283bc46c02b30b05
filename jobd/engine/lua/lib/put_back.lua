-- include: wake
-- include: place_ready
-- put_back(base, id, priority, front, max_len): a job, already out of active, waits to run again.
-- Events: waiting (prev active). The marker is set for prioritized jobs too, where BullMQ's push-back sets none.
local function put_back(base, id, priority, front, max_len)
  place_ready(base, id, priority, front)
  wake(base)
  redis.call('XADD', base .. 'events', 'MAXLEN', '~', max_len, '*', 'event', 'waiting', 'jobId', id, 'prev', 'active')
end
