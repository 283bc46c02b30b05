-- include: settings_of
-- is_blocked(base): whether the queue is paused or at its global concurrency.
-- Keys: meta and active under base (the queue's prefix with its last colon).
local function is_blocked(base)
  local settings = settings_of(base)
  if settings[2] then
    return true
  end
  local limit = tonumber(settings[4] or '')
  return limit ~= nil and redis.call('LLEN', base .. 'active') >= limit
end
