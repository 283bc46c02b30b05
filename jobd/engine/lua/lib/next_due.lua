-- next_due(base): when the first delayed job is due, in ms; -1 when none is delayed.
local function next_due(base)
  local first = redis.call('ZRANGE', base .. 'delayed', 0, 0, 'WITHSCORES')
  return first[2] and math.floor(tonumber(first[2]) / 4096) or -1
end
