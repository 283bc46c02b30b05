-- include: max_events
-- include: place_waiting
-- include: wake
-- copy_dead(base, id, target, reason, made, now_ms): a job that fails for good has a copy in another queue: its name and
-- data, its telemetry, and in the option deadLetter where it comes from and why. The reason and the stack traces lie in
-- the copy's hash too, so that dashboards show them. target is the base of that queue.
-- An error, before anything has changed, when a key it would go to is of a wrong type.
-- Keys: the job's hash; id, meta, wait, paused, marker, active, events and the new hash under target.
-- Events: added, waiting, in that queue
local function copy_dead(base, id, target, reason, made, now_ms)
  local stored = redis.call('HMGET', base .. id, 'name', 'data', 'opts', 'stacktrace')
  if not stored[1] then
    return
  end
  local list, events, now = waiting_list(target), target .. 'events', string.format('%.0f', now_ms)
  redis.call('LLEN', list)
  redis.call('XLEN', events)
  local max_len = max_events(target .. 'meta')
  local copy = string.format('%.0f', redis.call('INCR', target .. 'id'))
  local ok, opts = pcall(cjson.decode, stored[3] or '{}')
  opts = ok and type(opts) == 'table' and opts or {}
  local told = reason
  if #told > 2000 then -- whole in the hash; a character that is cut in two would be no JSON
    told = string.gsub(string.sub(told, 1, 2000), '[\192-\255][\128-\191]*$', '')
  end
  local own = { attempts = 0, tm = opts.tm, omc = opts.omc, deadLetter = { queue = string.match(base, '([^:]*):$'),
    id = id, reason = told, attemptsMade = made, failedAt = now_ms } }
  redis.call('HSET', target .. copy, 'name', stored[1], 'data', stored[2] or '{}', 'opts', cjson.encode(own),
    'timestamp', now, 'delay', '0', 'priority', '0', 'failedReason', reason)
  if stored[4] then
    redis.call('HSET', target .. copy, 'stacktrace', stored[4])
  end
  redis.call('XADD', events, '*', 'event', 'added', 'jobId', copy, 'name', stored[1])
  place_waiting(target, copy, false)
  wake(target)
  redis.call('XADD', events, 'MAXLEN', '~', max_len, '*', 'event', 'waiting', 'jobId', copy)
end
