-- is_legacy(base, version): whether BullMQ 5 or older uses the queue; version is meta's field of that name, or false.
-- Keys: paused under base, a list that only such a version makes.
local function is_legacy(base, version)
  local major = version and tonumber(string.match(version, '^bullmq:(%d+)%.'))
  return (major and major < 6) or redis.call('EXISTS', base .. 'paused') == 1
end
