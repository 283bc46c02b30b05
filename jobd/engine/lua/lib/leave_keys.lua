-- include: load_holders
-- include: leave_key
-- include: place_first
-- include: bring_forward
-- include: has_aside
-- include: room_of
-- leave_keys(limit, ids, keys, first): jobs whose attempt ended do not count for their keys any more, and the oldest that
-- wait for a place come forward. keys[i] is that of ids[i]; first[i]: it went to the front of its queue.
-- Events: those of bring_forward
local function leave_keys(limit, ids, keys, first)
  local holders, seen = limit.holders, {}
  load_holders(holders, keys)
  for i = 1, #ids do
    leave_key(holders, keys[i], ids[i])
    if first[i] then
      place_first(holders, keys[i], ids[i])
    end
  end
  for i = 1, #keys do
    local key = keys[i]
    if has_aside(holders, key) and not seen[key] then
      seen[key] = true
      bring_forward(holders, key, room_of(holders, key, limit.most))
    end
  end
end
