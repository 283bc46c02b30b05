-- remove_scheduler: a scheduler is gone, with the iteration that is not due yet.
-- Promise:    an iteration that waits to run, or runs, is left alone, as in BullMQ.
-- KEYS:       1 repeat (zset)   2 delayed (zset)   3 jobd:schedules (hash)
--             From base also: repeat:<scheduler>, the iteration's keys, meta, events
-- ARGV:       1 base (prefix of the queue, ends in a colon)   2 scheduler   3 owner ("" whoever made it; else only when
--             jobd's note of it names this owner)   4 gone (JSON kept of it, so that nobody makes it again unasked; "")
-- Returns:    1 removed; 0 there is none; -8 it is somebody else's
-- Events:     removed (prev delayed)
-- Complexity: O(log n)

-- include: drop_scheduler
local REPEAT, DELAYED, NOTES = KEYS[1], KEYS[2], KEYS[3]
local base, sid, owner, gone = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local text = redis.call('HGET', NOTES, 's:' .. sid)
if owner ~= '' and (not text or cjson.decode(text).app ~= owner) then
  return -8
end
local removed = drop_scheduler(base, REPEAT, DELAYED, sid)
local paused = redis.call('HDEL', NOTES, 'p:' .. sid)
redis.call('HDEL', NOTES, 's:' .. sid, 'h:' .. sid, 'r:' .. sid, 'm:' .. sid, 'x:' .. sid)
if gone ~= '' then
  redis.call('HSET', NOTES, 'x:' .. sid, gone)
end
return (removed or paused == 1) and 1 or 0
