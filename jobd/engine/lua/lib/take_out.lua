-- take_out(list, ids, tail): these ids are out of the list, near whose tail they are. With few commands for all when they
-- lie there, as one worker's batch in active does, even among those of other workers; else with one each.
-- tail: as many as these are, popped from the list.
-- Returns {id: true} of those not found, nil when that is none.
local function take_out(list, ids, tail)
  local wanted, missing = #ids, nil
  local is_ours, others, found, seen = {}, {}, 0, 0
  for i = 1, wanted do
    is_ours[ids[i]] = true
  end
  -- Piece by piece from the tail, as far as it costs less than a search for each.
  local most = math.min(8 * wanted, 1000)
  while true do
    for i = 1, #tail do
      local id = tail[i]
      if is_ours[id] then
        is_ours[id] = nil
        found = found + 1
      else
        others[#others + 1] = id
      end
    end
    seen = seen + #tail
    if found == wanted or #tail < wanted or seen >= most then
      break
    end
    tail = redis.call('RPOP', list, wanted) or {}
  end
  local back, size = {}, #others
  for i = 1, size do
    back[i] = others[size + 1 - i]
  end
  if size > 0 then
    redis.call('RPUSH', list, unpack(back))
  end
  for i = 1, found < wanted and wanted or 0 do
    local id = ids[i]
    if is_ours[id] and redis.call('LREM', list, '-1', id) == 0 then
      missing = missing or {}
      missing[id] = true
    end
  end
  return missing
end
