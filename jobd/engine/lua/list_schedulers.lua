-- list_schedulers: the schedulers of a queue, the one that is due next first; or one of them.
-- Promise:    changes nothing.
-- KEYS:       1 repeat (zset)   2 jobd:schedules (hash)
--             From base also: repeat:<scheduler>
-- ARGV:       1 base (prefix of the queue, ends in a colon)   2 scheduler ("" all)   3 limit (most of them)
-- Returns:    per scheduler: id, slot in ms (text, "" while jobd has it paused), fields of repeat:<scheduler> as a flat
--             list, jobd's note (JSON or ""), what jobd keeps of a paused one (JSON or ""), job id of the last run ("")
--             missed runs (text or "")
-- Events:     none
-- Complexity: O(schedulers)

local REPEAT, NOTES = KEYS[1], KEYS[2]
local base, only, limit = ARGV[1], ARGV[2], tonumber(ARGV[3])

local rows = {}

local function tell(sid, slot, fields)
  local notes = redis.call('HMGET', NOTES, 's:' .. sid, 'p:' .. sid, 'r:' .. sid, 'm:' .. sid)
  rows[#rows + 1] = { sid, slot, fields, notes[1] or '', notes[2] or '', notes[3] or '', notes[4] or '' }
end

local function tell_live(sid, slot)
  local fields = redis.pcall('HGETALL', base .. 'repeat:' .. sid)
  if not fields.err and #fields > 0 then
    tell(sid, slot, fields)
  end
end

local live = {}
if only == '' then
  local found = redis.call('ZRANGE', REPEAT, 0, limit - 1, 'WITHSCORES')
  for i = 1, #found, 2 do
    live[found[i]] = true
    tell_live(found[i], found[i + 1])
  end
else
  local slot = redis.call('ZSCORE', REPEAT, only)
  if slot then
    live[only] = true
    tell_live(only, slot)
  end
end
local notes = only == '' and redis.call('HKEYS', NOTES) or { 'p:' .. only }
for _, name in ipairs(notes) do
  local sid = string.match(name, '^p:(.*)$')
  if sid and not live[sid] and redis.call('HEXISTS', NOTES, name) == 1 then
    tell(sid, '', {})
  end
end
return rows
