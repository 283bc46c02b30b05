-- lock_all(locks, count, lock_ms, now, event_id): so many locks (key and token in turn) are set for lock_ms.
-- Not by SET with PX, nor when they are many and event_id, of an event just added, tells Redis' time, by PEXPIRE: Redis
-- writes both anew for its replicas. An id that is not within five seconds of now tells nothing: the stream may have ids of
-- its future, and a lock would outlive its worker by as much.
local function lock_all(locks, count, lock_ms, now, event_id)
  local call = redis.call
  call('MSET', unpack(locks, 1, 2 * count))
  local redis_ms = count > 3 and tonumber(string.sub(event_id, 1, 13))
  local command, life = 'PEXPIRE', lock_ms
  if redis_ms and math.abs(redis_ms - now) < 5000 then
    command, life = 'PEXPIREAT', string.format('%.0f', redis_ms + lock_ms)
  end
  for i = 1, 2 * count, 2 do
    call(command, locks[i], life)
  end
end
