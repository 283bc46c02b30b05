-- forget_queue: the last step of BullMQ's obliterate: a queue without jobs leaves no key of its own.
-- Promise:    up to 500 of its schedulers are gone; when that was the last of them and no job is there, everything that
--             belongs to the queue itself is gone too. Keys of the parts of a flow in other queues stay.
-- KEYS:       1 meta (hash)   2 repeat (sorted set)   From the base also the lists and sets of the states, and all that
--             is deleted
-- ARGV:       1 base (key prefix of the queue)
-- Returns:    0 nothing is left; 1 jobs or schedulers are: drop them, then call again
-- Events:     none; the stream goes too
-- Complexity: O(schedulers of the slice), plus the keys of a limit per key

local repeats, base = KEYS[2], ARGV[1]

local schedulers = redis.call('ZRANGE', repeats, 0, 499)
for _, id in ipairs(schedulers) do
  redis.call('DEL', repeats .. ':' .. id)
  redis.call('ZREM', repeats, id)
end
for _, place in ipairs({'wait', 'paused', 'active', 'prioritized', 'delayed', 'completed', 'failed', 'waiting-children',
  'repeat'}) do
  if redis.call('EXISTS', base .. place) == 1 then
    return 1
  end
end
-- Lists of keys that the book does not name any more run out within a day.
for _, key in ipairs(redis.call('HKEYS', base .. 'jobd-keys')) do
  redis.call('UNLINK', base .. 'jobd-aside:' .. key)
end
-- UNLINK: the memory of ten thousand events is given back beside the commands of others.
redis.call('UNLINK', KEYS[1], base .. 'events', base .. 'id', base .. 'pc', base .. 'marker', base .. 'limiter',
  base .. 'stalled', base .. 'stalled-check', base .. 'delay', base .. 'metrics:completed',
  base .. 'metrics:completed:data', base .. 'metrics:failed', base .. 'metrics:failed:data', base .. 'jobd-keys')
return 0
