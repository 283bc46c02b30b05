-- include: place_delayed
-- include: has_aside
-- set_aside(holders, key, id, priority, now_ms, max_len): a job for whose key there is no room is delayed, by a minute,
-- and has its place among those of its key: behind those of its priority, or the place it had.
-- Due by itself it runs also when every jobd is gone. The list outlives its last job by a day at most.
-- Events: delayed (the absolute time it is due). The marker is the caller's.
local function set_aside(holders, key, id, priority, now_ms, max_len)
  local base, any = holders.base, has_aside(holders, key)
  local aside, wait_ms = base .. 'jobd-aside:' .. key, 60000
  if not (any and redis.call('ZSCORE', aside, id)) then
    -- From the middle of what a priority has: hand-backs count down before the first.
    local first = priority * 4294967296
    local newest = redis.call('ZREVRANGEBYSCORE', aside, string.format('%.0f', first + 4294967295),
      string.format('%.0f', first), 'WITHSCORES', 'LIMIT', '0', '1')
    local score = newest[2] and tonumber(newest[2]) + 1 or first + 2147483648
    redis.call('ZADD', aside, string.format('%.0f', score), id)
    redis.call('PEXPIRE', aside, '86400000')
  end
  if not any then
    holders.texts[key] = 'a' .. string.sub(holders.texts[key] or 'n\n', 2)
    holders.changed[key] = true
  end
  local due = now_ms + wait_ms
  redis.call('HSET', base .. id, 'delay', string.format('%.0f', wait_ms), 'jobdkey', key)
  place_delayed(base, id, due)
  redis.call('XADD', base .. 'events', 'MAXLEN', '~', max_len, '*', 'event', 'delayed', 'jobId', id, 'delay',
    string.format('%.0f', due))
end
