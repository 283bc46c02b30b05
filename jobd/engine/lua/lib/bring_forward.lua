-- include: wake
-- include: place_ready
-- include: still_waits
-- include: has_aside
-- bring_forward(holders, key, count): the `count` oldest jobs of a key that were set aside wait to run, before all others.
-- They stay in the list of their key until somebody starts them; those that are gone leave it.
-- Events: waiting (prev delayed) for each
local function bring_forward(holders, key, count)
  if count < 1 or not has_aside(holders, key) then
    return
  end
  local base = holders.base
  local aside, place, brought = base .. 'jobd-aside:' .. key, 0, {}
  while place < count do
    local id = redis.call('ZRANGE', aside, place, place)[1]
    if not id then
      break
    end
    if redis.call('ZREM', base .. 'delayed', id) == 1 then
      brought[#brought + 1] = id
      place = place + 1
    elseif still_waits(base, id) then
      place = place + 1
    else
      redis.call('ZREM', aside, id)
    end
  end
  if place == 0 then
    holders.texts[key] = 'n' .. string.sub(holders.texts[key], 2)
    holders.changed[key] = true
  end
  for i = #brought, 1, -1 do
    local id = brought[i]
    place_ready(base, id, tonumber(redis.call('HGET', base .. id, 'priority') or '') or 0, true)
    redis.call('XADD', base .. 'events', '*', 'event', 'waiting', 'jobId', id, 'prev', 'delayed')
    redis.call('HSET', base .. id, 'delay', '0')
  end
  if #brought > 0 then
    wake(base)
  end
end
