-- look_schedules: a daemon says which schedules its file has in this queue, and learns what there is.
-- Promise:    changes nothing but the daemon's own listing and those whose time is over, by Redis' clock and not by a
--             host's. One is never over at the look that finds it so: the clock may have been set, or Redis been away.
-- KEYS:       1 repeat (zset)   2 jobd:schedules (hash)
--             From base also: repeat:<scheduler>
-- ARGV:       1 base (prefix of the queue, ends in a colon)   2 now_ms   3 life_ms (of the listing)
--             4 doubt_ms (what one that is over has left)   5 app   6 daemon (stays the same over restarts; "" lists nothing)
--             7 on: the ids the file has
-- Returns:    per scheduler that is in the file, or that a file of this app made: id, note (JSON or ""), 1 it is there,
--             1 it is as jobd made it, paused (JSON or ""), removed (JSON or ""), 1 a living daemon of the app lists it, 1 its current
--             iteration has no job
-- Events:     none
-- Complexity: O(schedules of the queue)

-- include: seal_of
local REPEAT, NOTES = KEYS[1], KEYS[2]
local base, now_ms, life_ms, doubt_ms = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local app, daemon = ARGV[5], ARGV[6]
local FIRST, FAR_MS = 7, 60000
local wanted, order, listed = {}, {}, {}

local function want(sid)
  if not wanted[sid] then
    wanted[sid] = true
    order[#order + 1] = sid
  end
end

-- Where an ACL refuses TIME, the host's clock has to do.
local time = redis.pcall('TIME')
local redis_ms = time.err and now_ms or time[1] * 1000 + math.floor(time[2] / 1000)

local own = {}
for at = FIRST, #ARGV do
  own[#own + 1] = ARGV[at]
  want(ARGV[at])
end
if daemon ~= '' and #own > 0 then
  redis.call('HSET', NOTES, 'l:' .. daemon, cjson.encode({ app = app, ['until'] = redis_ms + life_ms, ids = own }))
elseif daemon ~= '' then
  redis.call('HDEL', NOTES, 'l:' .. daemon)
end

-- Whether the daemon of a listing may be alive. The first look that finds it over puts its end off, once: after a step of
-- the clock, or when Redis was away, all are over, and who lives says so again within that time.
local function may_live(field, note)
  local left = note['until'] - redis_ms
  if left >= 0 and left <= FAR_MS then
    return true
  end
  if left < 0 and note.doubted then
    redis.call('HDEL', NOTES, field)
    return false
  end
  note['until'], note.doubted = redis_ms + doubt_ms, true
  redis.call('HSET', NOTES, field, cjson.encode(note))
  return true
end

local notes = redis.call('HGETALL', NOTES)
for at = 1, #notes, 2 do
  local kind, sid = string.match(notes[at], '^(%a):(.*)$')
  local note = (kind == 's' or kind == 'l') and cjson.decode(notes[at + 1])
  if kind == 's' and note.app == app then
    want(sid)
  elseif kind == 'l' and may_live(notes[at], note) and note.app == app then
    for _, id in ipairs(note.ids) do
      listed[id] = true
    end
  end
end
-- Whether an iteration that was due a minute ago has no job: nobody will make the next. After the last one that is right.
local function is_lost(sid, slot)
  local ends = redis.call('HMGET', base .. 'repeat:' .. sid, 'limit', 'endDate')
  return not ends[1] and not ends[2] and tonumber(slot) + 60000 < now_ms
    and redis.call('EXISTS', base .. 'repeat:' .. sid .. ':' .. string.format('%.0f', tonumber(slot))) == 0
end

local rows = {}
for _, sid in ipairs(order) do
  local found = redis.call('HMGET', NOTES, 's:' .. sid, 'h:' .. sid, 'p:' .. sid, 'x:' .. sid)
  local there = redis.call('ZSCORE', REPEAT, sid)
  rows[#rows + 1] = { sid, found[1] or '', there and 1 or 0, found[2] == seal_of(base, sid) and 1 or 0, found[3] or '',
    found[4] or '', listed[sid] and 1 or 0, there and is_lost(sid, there) and 1 or 0 }
end
return rows
