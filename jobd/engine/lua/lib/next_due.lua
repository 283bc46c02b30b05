-- next_due(delayed): when the first job of this sorted set is due, in ms; -1 when there is none.
-- 0 stands for scores below it, which only other hands write: one must not hide those behind it.
local function next_due(delayed)
  local first = redis.call('ZRANGE', delayed, '0', '0', 'WITHSCORES')
  return first[2] and math.min(math.max(math.floor(tonumber(first[2]) / 4096), 0), 9007199254740991) or -1
end
