-- place_prioritized(base, id, priority, front): the id is in prioritized, behind those of the same priority.
-- front puts it before them (counter 0, as BullMQ's push-back). priority is a number; exact below 2^21.
local function place_prioritized(base, id, priority, front)
  local counter = 0
  if not front then
    counter = redis.pcall('INCR', base .. 'pc')
    if type(counter) == 'table' then -- no number: count anew, an error here could cost the job its place
      redis.call('SET', base .. 'pc', '1')
      counter = 1
    end
  end
  redis.call('ZADD', base .. 'prioritized', string.format('%.0f', priority * 4294967296 + counter % 4294967296), id)
end
