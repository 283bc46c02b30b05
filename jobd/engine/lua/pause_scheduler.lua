-- pause_scheduler: a scheduler makes no more iterations, and can go on later where it was.
-- Promise:    no worker of any language runs it: it is no scheduler any more, but a note of jobd's. An iteration that
--             waits to run, or runs, is left alone.
-- KEYS:       1 repeat (zset)   2 delayed (zset)   3 jobd:schedules (hash)
--             From base also: repeat:<scheduler>, the iteration's keys, meta, events
-- ARGV:       1 base (prefix of the queue, ends in a colon)   2 scheduler   3 who   4 now_ms (text)
-- Returns:    1 paused; 2 it was; 0 there is none
-- Events:     removed (prev delayed)
-- Complexity: O(log n)

-- include: drop_scheduler
local REPEAT, DELAYED, NOTES = KEYS[1], KEYS[2], KEYS[3]
local base, sid, who, now = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local slot = redis.call('ZSCORE', REPEAT, sid)
if not slot then
  return redis.call('HEXISTS', NOTES, 'p:' .. sid) == 1 and 2 or 0
end
local fields = redis.call('HGETALL', base .. 'repeat:' .. sid)
local kept = {}
for i = 1, #fields, 2 do
  kept[fields[i]] = fields[i + 1]
end
redis.call('HSET', NOTES, 'p:' .. sid, cjson.encode({ by = who, at = now, slot = slot, fields = kept }))
drop_scheduler(base, REPEAT, DELAYED, sid)
return 1
