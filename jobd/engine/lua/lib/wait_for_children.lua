-- include when used: release_parent
-- wait_for_children(base, id, now_ms): a parent, already out of active, waits for its children; one that has none left
-- was released at once.
-- Events: waiting-children (prev active), those of release_parent
local function wait_for_children(base, id, now_ms)
  redis.call('ZADD', base .. 'waiting-children', string.format('%.0f', now_ms), id)
  redis.call('XADD', base .. 'events', '*', 'event', 'waiting-children', 'jobId', id, 'prev', 'active')
  local pending = redis.pcall('SCARD', base .. id .. ':dependencies')
  if pending == 0 then
    release_parent(base, id, now_ms)
  end
end
