-- include: is_blocked
-- wake(base): let one idle worker look for work, unless the queue is blocked. Call it after the removal from active.
-- Keys: marker, meta and active under base.
local function wake(base)
  if not is_blocked(base) then
    redis.call('ZADD', base .. 'marker', 0, '0')
  end
end
