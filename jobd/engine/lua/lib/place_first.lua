-- include: has_aside
-- place_first(holders, key, id): a job that went back to the front of its queue is the first of its key as well, before
-- those set aside.
local function place_first(holders, key, id)
  if not has_aside(holders, key) then
    return
  end
  local aside = holders.base .. 'jobd-aside:' .. key
  local first = redis.call('ZRANGE', aside, '0', '0', 'WITHSCORES')
  if first[2] then
    redis.call('ZADD', aside, string.format('%.0f', tonumber(first[2]) - 1), id)
  end
end
