-- drop_active(base, id): the id is out of active, its lock and its mark for the stalled check are gone.
-- Keys: active, stalled and the lock under base. Returns false when the id was not in active.
local function drop_active(base, id)
  redis.call('DEL', base .. id .. ':lock')
  redis.call('SREM', base .. 'stalled', id)
  return redis.call('LREM', base .. 'active', '-1', id) > 0
end
