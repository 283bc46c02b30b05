-- place_prioritized(base, id, priority, front): the id is in prioritized, behind those of the same priority.
-- front puts it before them (counter 0, as BullMQ's push-back). priority is a number; exact below 2^21.
local function place_prioritized(base, id, priority, front)
  local counter = front and 0 or redis.call('INCR', base .. 'pc') % 4294967296
  redis.call('ZADD', base .. 'prioritized', string.format('%.0f', priority * 4294967296 + counter), id)
end
