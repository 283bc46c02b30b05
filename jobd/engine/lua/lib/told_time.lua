-- told_time(now, clock_ms, event_id): when a turn runs that was sent ahead, in ms as text: Redis' time plus clock_ms. `now`,
-- when it was sent, if that is not within a minute: no wait is longer, so a clock was set since.
-- Redis' time is that of an event just added; without one it is asked.
local function told_time(now, clock_ms, event_id)
  local text, redis_ms = nil, nil
  if event_id then
    text = string.sub(event_id, 1, 13)
    redis_ms = tonumber(text)
  else
    local time = redis.call('TIME')
    redis_ms = time[1] * 1000 + math.floor(time[2] / 1000)
  end
  local told = redis_ms and redis_ms + clock_ms
  if not told or math.abs(told - now) >= 60000 then
    return now
  end
  return clock_ms == '0' and text or string.format('%.0f', told)
end
