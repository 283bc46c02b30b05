-- max_events(meta, known): how many events the queue's stream keeps; 10000 is written where no producer set it.
-- known: the field opts.maxLenEvents when the caller has read it.
-- Returns: the number as text, for XADD and XTRIM MAXLEN ~; 10000 for what Redis would not take as one.
local function max_events(meta, known)
  local limit = known or redis.call('HGET', meta, 'opts.maxLenEvents')
  if not limit then
    redis.call('HSET', meta, 'opts.maxLenEvents', '10000')
  end
  return limit and #limit < 16 and string.match(limit, '^%d+$') or '10000'
end
