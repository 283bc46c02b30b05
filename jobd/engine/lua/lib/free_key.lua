-- include: holders_of
-- include: load_holders
-- include: save_holders
-- include: leave_key
-- include: place_first
-- include: bring_forward
-- free_key(base, key, id, waits): a job that was recovered or handed back does not count for its key (of the field
-- jobdkey, false for none) any more. waits: it is at the front of its queue again, and the first of its key; else the
-- oldest of its key that was set aside comes forward.
-- Keys: jobd-keys, jobd-aside:<key>, delayed, wait, prioritized, marker, meta, events and job hashes under base.
-- Events: those of bring_forward
local function free_key(base, key, id, waits)
  if not key then
    return
  end
  local holders = holders_of(base)
  load_holders(holders, { key })
  leave_key(holders, key, id)
  if waits then
    place_first(holders, key, id)
  else
    bring_forward(holders, key, 1)
  end
  save_holders(holders)
end
