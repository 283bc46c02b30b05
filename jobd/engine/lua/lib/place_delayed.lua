-- place_delayed(base, id, due_ms): the id is in delayed, behind those due in the same millisecond.
-- The score is due_ms * 4096 + n; without the step n ties would run in the order of their id texts.
local function place_delayed(base, id, due_ms)
  local delayed = base .. 'delayed'
  local first = due_ms * 4096
  local last = first + 4095
  local floor, ceiling = string.format('%.0f', first), string.format('%.0f', last)
  local newest = redis.call('ZREVRANGEBYSCORE', delayed, ceiling, floor, 'WITHSCORES', 'LIMIT', '0', '1')
  local score = first
  if newest[2] then
    score = math.min(tonumber(newest[2]) + 1, last)
  end
  redis.call('ZADD', delayed, string.format('%.0f', score), id)
end
