-- next_due(delayed): when the first job of this sorted set is due, in ms; -1 when there is none.
local function next_due(delayed)
  local first = redis.call('ZRANGE', delayed, 0, 0, 'WITHSCORES')
  return first[2] and math.floor(tonumber(first[2]) / 4096) or -1
end
