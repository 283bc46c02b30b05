-- give_back(wait, ids, active): what was popped from wait is there again as it was; active: the list that its single id went
-- to at once, false for none.
local function give_back(wait, ids, active)
  for i = #ids, 1, -1 do
    redis.call('RPUSH', wait, ids[i])
  end
  if active then
    redis.call('LPOP', active)
  end
end
