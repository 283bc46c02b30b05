-- settings_of(base): what a queue's meta says of adding and taking, read once a script: nothing but resuming changes it
-- in the middle of one, and that asks afterwards.
-- Keys: meta under base.
-- Returns: {opts.maxLenEvents, paused, version, concurrency}, each as text or false
local settings_of_bases = {}
local function settings_of(base)
  local settings = settings_of_bases[base]
  if not settings then
    settings = redis.call('HMGET', base .. 'meta', 'opts.maxLenEvents', 'paused', 'version', 'concurrency')
    settings_of_bases[base] = settings
  end
  return settings
end
