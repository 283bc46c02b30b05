-- include: place_delayed
-- include: mark_delayed
-- put_delayed(base, id, delay_ms, now_ms, max_len): a job, already out of active, is delayed by delay_ms.
-- Events: delayed (the absolute time it is due)
local function put_delayed(base, id, delay_ms, now_ms, max_len)
  local due = now_ms + delay_ms
  redis.call('HSET', base .. id, 'delay', string.format('%.0f', delay_ms))
  place_delayed(base, id, due)
  redis.call('XADD', base .. 'events', 'MAXLEN', '~', max_len, '*', 'event', 'delayed', 'jobId', id, 'delay',
    string.format('%.0f', due))
  mark_delayed(base)
end
