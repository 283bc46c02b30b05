-- work_is_left(base): whether an idle worker that wakes now finds a job, or a due time to wait for.
-- BullMQ wakes one after every take; it then looks in vain.
local function work_is_left(base)
  return redis.call('LLEN', base .. 'wait') > 0 or redis.call('ZCARD', base .. 'prioritized') > 0
    or redis.call('ZCARD', base .. 'delayed') > 0
end
