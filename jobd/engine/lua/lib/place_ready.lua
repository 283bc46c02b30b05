-- include: place_waiting
-- include: place_prioritized
-- place_ready(base, id, priority, front): the id waits to run, in wait or (priority > 0, a number) in prioritized.
local function place_ready(base, id, priority, front)
  if priority > 0 then
    place_prioritized(base, id, priority, front)
  else
    place_waiting(base, id, front)
  end
end
