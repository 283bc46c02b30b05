-- max_events(meta): how many events the queue's stream keeps; 10000 is written where no producer set it.
-- Returns: the number as text, for XADD and XTRIM MAXLEN ~.
local function max_events(meta)
  local limit = redis.call('HGET', meta, 'opts.maxLenEvents')
  if not limit then
    limit = '10000'
    redis.call('HSET', meta, 'opts.maxLenEvents', limit)
  end
  return limit
end
