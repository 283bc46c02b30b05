-- place_waiting(base, id, front): the id is in wait; front makes it the next to run, else it runs after all others.
local function place_waiting(base, id, front)
  redis.call(front and 'RPUSH' or 'LPUSH', base .. 'wait', id)
end
