-- take_out(list, ids): these ids are out of the list, near whose tail they are. With few commands for all when they are
-- its last ones, as one worker's batch in active often is, or lie there among those of other workers; else with one each.
-- Returns {id: true} of those not found, nil when that is none.
local function take_out(list, ids)
  local wanted = #ids
  local window = wanted
  while wanted > 2 and window do
    local is_ours, found, first, others = {}, 0, 0, {}
    for i = 1, wanted do
      is_ours[ids[i]] = true
    end
    local tail = redis.call('LRANGE', list, -window, -1)
    for i = 1, #tail do
      local id = tail[i]
      if is_ours[id] then
        is_ours[id] = nil
        found = found + 1
        first = found == 1 and i or first
      elseif found > 0 then
        others[#others + 1] = id
      end
    end
    if found == wanted then
      redis.call('LTRIM', list, 0, first - #tail - 2)
      if others[1] then
        redis.call('RPUSH', list, unpack(others))
      end
      return nil
    end
    -- Once more, further: as far as it costs less than a search for each.
    window = window == wanted and #tail == wanted and math.min(8 * wanted, 1000)
  end
  local missing
  for i = 1, wanted do
    if redis.call('LREM', list, -1, ids[i]) == 0 then
      missing = missing or {}
      missing[ids[i]] = true
    end
  end
  return missing
end
