-- is_blocked(base): whether the queue is paused or at its global concurrency.
-- Keys: meta and active under base (the queue's prefix with its last colon).
local function is_blocked(base)
  local settings = redis.call('HMGET', base .. 'meta', 'paused', 'concurrency')
  if settings[1] then
    return true
  end
  local limit = tonumber(settings[2] or '')
  return limit ~= nil and redis.call('LLEN', base .. 'active') >= limit
end
