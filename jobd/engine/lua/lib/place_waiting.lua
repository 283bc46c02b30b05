-- include: waiting_list
-- place_waiting(base, id, front): the id waits to run; front makes it the next to run, else it runs after all others.
local function place_waiting(base, id, front)
  redis.call(front and 'RPUSH' or 'LPUSH', waiting_list(base), id)
end
