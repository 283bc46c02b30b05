-- include: key_of
-- include: load_holders
-- include: room_of
-- include: leave_key
-- include: set_aside
-- include: oldest_of_key
-- include: field_of
-- include: has_aside
-- admit(limit, ids, scores, at, row, plain, now_ms, max_len): whether the popped job ids[at] may start by its key.
-- row, plain: as key_of has them. Returns the id of the job to start in its place, which counts from now on, and the key;
-- nil when it was set aside. That is another one when an older one of the key waits: then this one waits, in its place.
-- ids and scores (nil for those of wait) are what was popped together; an older one among them changes places with it.
-- Events: those of set_aside and oldest_of_key
local function admit(limit, ids, scores, at, row, plain, now_ms, max_len)
  local holders, id = limit.holders, ids[at]
  local key = key_of(limit, id, row, plain)
  if not key then
    return id, nil
  end
  local texts = holders.texts
  if texts[key] == nil then
    load_holders(holders, { key })
  end
  if texts[key] then
    if row.ats then
      leave_key(holders, key, id) -- started before: whoever ran it may not have struck it off
    end
    local room = room_of(holders, key, limit.most)
    local aside = has_aside(holders, key)
    local priority = not plain and (room <= 0 or aside) and tonumber(field_of(row, 'priority') or '') or 0
    -- Within BullMQ's bounds: "nan" is a number to Lua and none to Redis, whose error would cost what was popped its place.
    priority = priority > 0 and math.min(priority, 2097152) or 0
    if room <= 0 then
      limit.aside = limit.aside + 1
      set_aside(holders, key, id, priority, now_ms, max_len)
      return nil
    end
    if aside then
      local base = holders.base
      local first, swapped = oldest_of_key(base, key, ids, scores, at, priority)
      if first ~= id then
        if not swapped and room > 1 then
          -- There is room for it too: popped again in a moment.
          if scores then
            redis.call('ZADD', base .. 'prioritized', scores[at], id)
          else
            redis.call('RPUSH', base .. 'wait', id)
          end
        elseif not swapped then
          limit.aside = limit.aside + 1
          set_aside(holders, key, id, priority, now_ms, max_len)
        end
        id = first
      end
    end
  end
  texts[key] = (texts[key] or 'n\n') .. id .. '\n'
  holders.changed[key], holders.started[id] = true, true
  return id, key
end
