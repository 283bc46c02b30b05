-- change_priority: a job has another priority.
-- Promise:    one that waits stands where that puts it, behind its equals or with lifo before them; one in any other state
--             has it for when it waits again. As BullMQ's changePriority.
-- KEYS:       1 job (hash)   2 wait (list)   3 prioritized (sorted set)
--             From base also: paused (list, of BullMQ 5), pc, meta, active, marker
-- ARGV:       1 base (key prefix of the queue)   2 job id   3 priority (0 none)   4 lifo (1 or 0)
-- Returns:    0 changed; -1 no such job (codes.py)
-- Events:     none, as BullMQ
-- Complexity: O(log n), O(n) of wait for a job in it

-- include: check_places
-- include: place_waiting
-- include: place_prioritized
-- include: wake

local job, wait, prioritized = KEYS[1], KEYS[2], KEYS[3]
local base, id, priority, lifo = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4] == '1'

if redis.call('EXISTS', job) == 0 then
  return -1
end
check_places(base)
if redis.call('ZREM', prioritized, id) == 1 or redis.call('LREM', wait, -1, id) == 1
  or redis.call('LREM', base .. 'paused', -1, id) == 1 then
  if priority > 0 then
    place_prioritized(base, id, priority, lifo)
  else
    place_waiting(base, id, lifo)
  end
  if priority == 0 or not lifo then
    wake(base)
  end
end
redis.call('HSET', job, 'priority', string.format('%.0f', priority))
return 0
