-- include: wake
-- include: is_set
-- include: mark_delayed
-- include: place_ready
-- include: place_delayed
-- release_deduplication(base, id, dedup_id, now_ms, max_len): the finished job gives its deduplication id up.
-- A key with a lifetime lives on until it expires. A job parked meanwhile (keepLastIfActive) is added now, as an
-- ordinary add: its hash, its place, `added` and `waiting` or `delayed`. Keys of a wrong type are nobody's: an error here
-- would cost the finished job its place.
-- Keys: de:<dedup_id>, dn:<dedup_id>, id, meta, active, marker, wait, prioritized, pc, delayed, events under base, the
-- parked job's hash, and the dependencies set its record names.
local function release_deduplication(base, id, dedup_id, now_ms, max_len)
  local owner_key = base .. 'de:' .. dedup_id
  if redis.pcall('GET', owner_key) == id and redis.call('PTTL', owner_key) == -1 then
    redis.call('DEL', owner_key)
  end
  local parked_key = base .. 'dn:' .. dedup_id
  local parked = redis.pcall('HMGET', parked_key, 'name', 'data', 'opts', 'jid', 'pk', 'pd', 'pdk', 'rjk')
  local new_id = parked[4]
  if not new_id then
    return
  end
  local ok, opts = pcall(cjson.decode, parked[3] or '{}')
  if not ok or type(opts) ~= 'table' then
    opts = {}
  end
  local delay, priority = tonumber(opts.delay) or 0, tonumber(opts.priority) or 0
  local now, events, job = string.format('%.0f', now_ms), base .. 'events', base .. new_id
  local kind = redis.call('TYPE', job).ok
  if kind ~= 'none' and kind ~= 'hash' then
    return
  end
  redis.pcall('INCR', base .. 'id')
  redis.call('SET', owner_key, new_id)
  redis.call('HSET', job, 'name', parked[1] or '', 'data', parked[2] or '{}', 'opts', parked[3] or '{}', 'timestamp', now,
    'delay', string.format('%.0f', delay), 'priority', string.format('%.0f', priority), 'deid', dedup_id)
  if parked[5] then
    redis.call('HSET', job, 'parentKey', parked[5], 'parent', parked[6] or '')
  end
  if parked[8] then
    redis.call('HSET', job, 'rjk', parked[8])
  end
  redis.call('XADD', events, '*', 'event', 'added', 'jobId', new_id, 'name', parked[1] or '')
  if delay > 0 then
    local due = now_ms + delay
    place_delayed(base, new_id, due)
    redis.call('XADD', events, 'MAXLEN', '~', max_len, '*', 'event', 'delayed', 'jobId', new_id, 'delay',
      string.format('%.0f', due))
    mark_delayed(base)
  else
    place_ready(base, new_id, priority, is_set(opts.lifo))
    wake(base)
    redis.call('XADD', events, 'MAXLEN', '~', max_len, '*', 'event', 'waiting', 'jobId', new_id)
  end
  if parked[7] then
    redis.pcall('SADD', parked[7], job)
  end
  redis.call('DEL', parked_key)
end
