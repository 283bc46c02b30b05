-- include: delete_job
-- include: max_events
-- drop_scheduler(base, repeat_key, delayed, sid): a scheduler and its delayed iteration are gone; whether it was there.
-- Events: removed (prev delayed)
local function drop_scheduler(base, repeat_key, delayed, sid)
  local slot = tonumber(redis.call('ZSCORE', repeat_key, sid) or '')
  if not slot then
    return false
  end
  local id = 'repeat:' .. sid .. ':' .. string.format('%.0f', slot)
  if redis.call('ZREM', delayed, id) == 1 then
    delete_job(base, id)
    redis.call('XADD', base .. 'events', 'MAXLEN', '~', max_events(base .. 'meta'), '*', 'event', 'removed', 'jobId', id,
      'prev', 'delayed')
  end
  redis.call('ZREM', repeat_key, sid)
  redis.call('DEL', base .. 'repeat:' .. sid)
  return true
end
