-- include: place_waiting
-- include: place_prioritized
-- place_ready(base, id, priority, front, queued): the id waits to run, in wait or (priority > 0, a number) in
-- prioritized. front: before its equals; with queued that holds for wait only, as for BullMQ's released parents.
local function place_ready(base, id, priority, front, queued)
  if priority > 0 then
    place_prioritized(base, id, priority, front and not queued)
  else
    place_waiting(base, id, front)
  end
end
