-- take_out(list, ids): these ids are out of the list, near whose tail they are; with two commands for all when they are
-- its last ones, as one worker's batch in active often is, else with one each. Returns {id: true} of those not found.
local function take_out(list, ids)
  local missing, is_ours, last = {}, {}, #ids > 2
  if last then
    local tail = redis.call('LRANGE', list, -#ids, -1)
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
    return missing
  end
  for i = 1, #ids do
    if redis.call('LREM', list, -1, ids[i]) == 0 then
      missing[ids[i]] = true
    end
  end
  return missing
end
