-- next_slot(every, offset, prev_ms, start_ms, now_ms): when an `every` scheduler is due next, in ms.
-- prev_ms (nil: it is new, or its interval is another now) is its current slot; a slot that was missed is left out, and
-- the rhythm stays: floor(now / every) * every + offset. start_ms: its first slot is not before. All are numbers or nil.
local function next_slot(every, offset, prev_ms, start_ms, now_ms)
  local function in_rhythm()
    local slot = math.floor(now_ms / every) * every + (offset or 0)
    return slot <= now_ms and slot + every or slot
  end
  if prev_ms then
    local slot = prev_ms + every
    return slot < now_ms and in_rhythm() or slot
  end
  if start_ms then
    return math.max(start_ms, now_ms)
  end
  return offset and offset > 0 and in_rhythm() or now_ms
end
