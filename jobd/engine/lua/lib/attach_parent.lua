-- include: json_of
-- include: parent_place
-- include: release_parent
-- attach_parent(base, id, parent, now_ms, deferred): an existing job has this parent from now on, unless it has another
-- one that is still there. Returns whether it has.
-- parent: {key, text (JSON, the field parent)}. Completed before, it counts as done for the parent at once; with
-- deferred the parent is released later, by the caller.
local function attach_parent(base, id, parent, now_ms, deferred)
  local job = base .. id
  local stored = redis.call('HGET', job, 'parentKey')
  if stored and stored ~= parent.key and redis.call('EXISTS', stored) == 1 then
    return false
  end
  if redis.call('ZSCORE', base .. 'completed', id) then
    redis.call('HSET', parent.key .. ':processed', job, redis.call('HGET', job, 'returnvalue') or 'null')
    if not deferred and redis.call('SCARD', parent.key .. ':dependencies') == 0 then
      local parent_base, parent_id = parent_place(parent.key, parent.text)
      release_parent(parent_base, parent_id, now_ms)
    end
  else
    redis.call('SADD', parent.key .. ':dependencies', job)
  end
  redis.call('HSET', job, 'parentKey', parent.key, 'parent', parent.text)
  return true
end
