-- holds(base, id, token, lock): whether the attempt that token names may still act on the job.
-- lock is what GET <job>:lock answered. Returns 0, or why not: -1 no job, -2 lock lost, -6 lock of another.
-- A missing lock is no loss while ats (the token's last part) is unchanged: nobody has taken the job since. The caller
-- must still find the id in active.
local function holds(base, id, token, lock)
  if lock == token then
    return redis.call('TYPE', base .. id).ok == 'hash' and 0 or -1
  end
  if lock then
    return -6
  end
  if redis.call('TYPE', base .. id).ok ~= 'hash' then
    return -1
  end
  local started = redis.call('HGET', base .. id, 'ats')
  if not started then
    return -2
  end
  return started == string.match(token, '[^:]*$') and 0 or -2
end
