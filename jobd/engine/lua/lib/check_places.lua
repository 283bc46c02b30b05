-- check_places(base): an error, before anything has changed, when a key that holds the queue's ids is of a wrong type.
-- Redis takes nothing back that a script did before its error: without this an id could be out of one place and in none.
local function check_places(base)
  for _, list in ipairs({ 'wait', 'active' }) do
    redis.call('LLEN', base .. list)
  end
  for _, set in ipairs({ 'prioritized', 'delayed', 'completed', 'failed', 'marker', 'waiting-children' }) do
    redis.call('ZCARD', base .. set)
  end
  redis.call('SCARD', base .. 'stalled')
  redis.call('XLEN', base .. 'events')
end
