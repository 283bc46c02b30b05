-- include: delete_job
-- include: place_delayed
-- include: mark_delayed
-- claim_deduplication(base, job, max_len): the new job owns its deduplication id, or who does is told.
-- job: {id, name, data, opts (JSON), timestamp, delay (ms) as numbers, de = {id, ttl, extend, replace,
-- keepLastIfActive, reschedule}}, as BullMQ stores them (docs/wire-format.md, "Deduplication").
-- Returns: nil, the add goes on; or the id of the owner and the stream id of the event (false: BullMQ emits none).
-- Keys: de:<id>, dn:<id>, active, delayed, marker, events and the owner's hash under base.
-- Events: deduplicated; replace: removed before it; reschedule: delayed after it
local function claim_deduplication(base, job, max_len)
  local de, events = job.de, base .. 'events'
  local owner_key, parked_key = base .. 'de:' .. de.id, base .. 'dn:' .. de.id
  local ttl = tonumber(de.ttl) or 0
  local lifetime = ttl > 0 and not de.keepLastIfActive

  local function own()
    if lifetime then
      redis.call('SET', owner_key, job.id, 'PX', string.format('%.0f', ttl))
    else
      redis.call('SET', owner_key, job.id)
    end
  end

  local function tell(subject, other)
    return redis.call('XADD', events, 'MAXLEN', '~', max_len, '*', 'event', 'deduplicated', 'jobId', subject,
      'deduplicationId', de.id, 'deduplicatedJobId', other)
  end

  local owner = redis.call('GET', owner_key)
  if not owner then
    own()
    return nil
  end

  if de.replace and redis.call('ZREM', base .. 'delayed', owner) == 1 then
    delete_job(base, owner)
    redis.call('XADD', events, '*', 'event', 'removed', 'jobId', owner, 'prev', 'delayed')
    tell(job.id, owner)
    redis.call('DEL', parked_key)
    if lifetime and not de.extend then
      redis.call('SET', owner_key, job.id, 'KEEPTTL')
    else
      own()
    end
    return nil
  end

  -- An owner that is gone, under a key that never expires, would swallow adds for ever.
  if redis.call('PTTL', owner_key) == -1 and redis.call('EXISTS', base .. owner) == 0 then
    redis.call('DEL', parked_key)
    own()
    return nil
  end

  if de.keepLastIfActive and redis.call('LPOS', base .. 'active', owner) then
    redis.call('DEL', parked_key)
    redis.call('HSET', parked_key, 'name', job.name, 'data', job.data, 'opts', job.opts, 'jid', job.id)
    redis.call('PERSIST', owner_key)
    return owner, tell(owner, job.id)
  end

  if de.replace then
    return owner, false
  end
  if de.extend and lifetime then
    redis.call('SET', owner_key, owner, 'PX', string.format('%.0f', ttl))
  end
  local event_id = tell(owner, job.id)
  if de.reschedule and redis.call('ZSCORE', base .. 'delayed', owner) then
    local due = job.timestamp + job.delay
    redis.call('HSET', base .. owner, 'delay', string.format('%.0f', job.delay))
    place_delayed(base, owner, due)
    event_id = redis.call('XADD', events, 'MAXLEN', '~', max_len, '*', 'event', 'delayed', 'jobId', owner, 'delay',
      string.format('%.0f', due))
    mark_delayed(base)
  end
  return owner, event_id
end
