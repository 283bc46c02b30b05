-- include: is_blocked
-- wake(base): let one idle worker look for work, unless the queue is blocked. Call it after the removal from active.
-- Keys: marker, meta and active under base. The marker is set once a script: nothing takes it away in the middle of one.
local woken
local function wake(base)
  if woken ~= base and not is_blocked(base) then
    redis.call('ZADD', base .. 'marker', '0', '0')
    woken = base
  end
end
