-- take_out(list, ids): these ids are out of the list, near whose tail they are; with two commands for all when they are
-- its last ones, as one worker's batch in active often is, else with one each. Returns {id: true} of those not found, nil
-- when that is none.
local function take_out(list, ids)
  local missing, last = nil, #ids > 2
  if last then
    local is_ours, tail = {}, redis.call('LRANGE', list, -#ids, -1)
    for i = 1, #ids do
      is_ours[ids[i]] = true
    end
    last = #tail == #ids
    for i = 1, #tail do
      last = last and is_ours[tail[i]]
    end
  end
  if last then
    redis.call('LTRIM', list, 0, -#ids - 1)
    return nil
  end
  for i = 1, #ids do
    if redis.call('LREM', list, -1, ids[i]) == 0 then
      missing = missing or {}
      missing[ids[i]] = true
    end
  end
  return missing
end
