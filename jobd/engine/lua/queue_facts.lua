-- queue_facts: what a status line says of a queue.
-- Promise:    nothing changes; everything is of one moment.
-- KEYS:       1 meta (hash)   made here from the base: the lists and sets of the states, limiter, id, one job
-- ARGV:       1 base (key prefix of the queue, ends in a colon)   2 max (integer; limit of the caller, 0: of meta)
-- Returns:    {{waiting, prioritized, delayed, active, completed, failed, waiting-children},
--             {paused, concurrency, max, duration, jobd:paused_by, jobd:paused_at, jobd:paused_why}, timestamp of the
--             next waiting job or false, milliseconds the limiter still holds or a negative number, 1 the queue exists};
--             {key, its type, the type it must have} where a key of the queue is of a wrong one
-- Events:     none
-- Complexity: O(1)

local meta, base, max = KEYS[1], ARGV[1], tonumber(ARGV[2])

local wait, paused, prioritized = base .. 'wait', base .. 'paused', base .. 'prioritized'
local next_id

local function look()
  local counts = {redis.call('LLEN', wait) + redis.call('LLEN', paused)}
  counts[2] = redis.call('ZCARD', prioritized)
  counts[3] = redis.call('ZCARD', base .. 'delayed')
  counts[4] = redis.call('LLEN', base .. 'active')
  for at, set in ipairs({'completed', 'failed', 'waiting-children'}) do
    counts[4 + at] = redis.call('ZCARD', base .. set)
  end

  local settings = redis.call('HMGET', meta, 'paused', 'concurrency', 'max', 'duration', 'jobd:paused_by',
    'jobd:paused_at', 'jobd:paused_why')
  next_id = redis.call('LINDEX', paused, -1) or redis.call('LINDEX', wait, -1)
    or redis.call('ZRANGE', prioritized, 0, 0)[1]
  local oldest = next_id and redis.call('HGET', base .. next_id, 'timestamp') or false -- nil would end the reply here

  local limited = -2
  local started = tonumber(redis.call('GET', base .. 'limiter') or '')
  if max == 0 then
    max = tonumber(settings[3] or '') or 9007199254740991
  end
  if started and started >= max then
    limited = redis.call('PTTL', base .. 'limiter')
  end
  local exists = redis.call('EXISTS', meta) + redis.call('EXISTS', base .. 'id') > 0 and 1 or 0
  return {counts, settings, oldest, limited, exists}
end

local ok, found = pcall(look)
if ok then
  return found
end

-- Which key it was: the server names none.
local kinds = {
  [meta] = 'hash', [wait] = 'list', [paused] = 'list', [base .. 'active'] = 'list', [prioritized] = 'zset',
  [base .. 'delayed'] = 'zset', [base .. 'completed'] = 'zset', [base .. 'failed'] = 'zset',
  [base .. 'waiting-children'] = 'zset', [base .. 'limiter'] = 'string', [base .. (next_id or 'meta')] = 'hash',
}
for key, wanted in pairs(kinds) do
  local kind = redis.call('TYPE', key).ok
  if kind ~= 'none' and kind ~= wanted then
    return {key, kind, wanted}
  end
end
return type(found) == 'table' and found or redis.error_reply(found) -- text before Redis 7
