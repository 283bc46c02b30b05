-- window_of(limiter, text, most): how many started in the limiter's window, and for how many ms more it is full (0: it is not).
-- nil, 0 when it is full and has no end: that limits nobody, as with BullMQ. One that ends in this very millisecond is
-- over, and taken away: what was added to its count would be lost with it. text is what GET answered.
local function window_of(limiter, text, most)
  local counted = tonumber(text or '') or 0
  if counted < most then
    return counted, 0
  end
  local rest = redis.call('PTTL', limiter)
  if rest > 0 then
    return counted, rest
  elseif rest == 0 then
    redis.call('DEL', limiter)
    return 0, 0
  end
  return nil, 0
end
