-- mark_delayed(base): tell idle workers when the first delayed job is due; also while the queue is paused.
-- Keys: delayed and marker under base. The score is in milliseconds and may have a fraction, as BullMQ's.
local function mark_delayed(base)
  local first = redis.call('ZRANGE', base .. 'delayed', '0', '0', 'WITHSCORES')
  if first[2] then
    redis.call('ZADD', base .. 'marker', string.format('%.17g', tonumber(first[2]) / 4096), '1')
  end
end
