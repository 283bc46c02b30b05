-- include: room_of
-- include: leave_key
-- include: set_aside
-- include: oldest_of_key
-- include: read_job
-- include: field_of
-- include: has_aside
-- admit(limit, ids, scores, at, row, now_ms, max_len): whether the popped job ids[at] may start by its key, row.key.
-- Returns the id and the row of the job to start in its place, which counts from now on; nil when it was set aside.
-- That is another one when an older one of the key waits: then this one waits, in its place. ids and scores (nil for
-- those of wait) are what was popped together; an older one among them changes places with it.
-- Events: those of set_aside and oldest_of_key
local function admit(limit, ids, scores, at, row, now_ms, max_len)
  local holders, id, key = limit.holders, ids[at], row.key
  local base = holders.base
  if not key then
    return id, row
  end
  local priority = tonumber(field_of(row, 'priority') or '') or 0
  -- Within BullMQ's bounds: "nan" is a number to Lua and none to Redis, whose error would cost what was popped its place.
  priority = priority > 0 and math.min(priority, 2097152) or 0
  if row.ats then
    leave_key(holders, key, id) -- started before: whoever ran it may not have struck it off
  end
  local room = room_of(holders, key, limit.most)
  if room <= 0 then
    limit.aside = limit.aside + 1
    set_aside(holders, key, id, priority, now_ms, max_len)
    return nil
  end
  if has_aside(holders, key) then
    local first, swapped = oldest_of_key(base, key, ids, scores, at, priority)
    if first ~= id then
      row = read_job(base .. first)
      row.key = key
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
  holders.texts[key] = (holders.texts[key] or 'n\n') .. id .. '\n'
  holders.changed[key] = true
  return id, row
end
