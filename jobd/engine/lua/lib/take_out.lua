-- take_out(list, ids): these ids are out of the list, near whose tail they are. With few commands for all when they lie
-- there, as one worker's batch in active does, even among those of other workers; else with one each.
-- Returns {id: true} of those not found, nil when that is none.
local function take_out(list, ids)
  local wanted = #ids
  if wanted > 2 then
    local is_ours, others, found, seen, last = {}, {}, 0, 0, false
    for i = 1, wanted do
      is_ours[ids[i]] = true
    end
    -- Piece by piece from the tail, as far as it costs less than a search for each.
    local most = math.min(8 * wanted, 1000)
    while found < wanted and seen < most and not last do
      local piece = redis.call('LRANGE', list, -seen - wanted, -seen - 1)
      last = #piece < wanted
      for i = #piece, 1, -1 do
        local id = piece[i]
        seen = seen + 1
        if is_ours[id] then
          is_ours[id] = nil
          found = found + 1
          if found == wanted then
            break
          end
        else
          others[#others + 1] = id
        end
      end
    end
    if found == wanted then
      redis.call('LTRIM', list, 0, -seen - 1)
      local back, size = {}, #others
      for i = 1, size do
        back[i] = others[size + 1 - i]
      end
      if size > 0 then
        redis.call('RPUSH', list, unpack(back))
      end
      return nil
    end
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
