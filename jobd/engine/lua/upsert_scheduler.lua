-- upsert_scheduler: a scheduler has this definition, and its next iteration is in the queue.
-- Promise:    an iteration that waits already is replaced; one that runs is left alone. The rhythm of an unchanged
--             `every` stays. Refused, nothing has changed but the iteration that waited, which is gone.
-- KEYS:       1 meta (hash)   2 repeat (zset)
--             From base also: repeat:<scheduler>, the iterations' keys, delayed, wait, prioritized, pc, id, marker,
--             active, events, paused, jobd:schedules
-- ARGV:       1 base (prefix of the queue, ends in a colon)   2 now_ms   3 scheduler   4 definition (JSON: name, tz,
--             limit, pattern, startDate, endDate, every, offset, as far as given)   5 data (JSON, "" for {})
--             6 opts (JSON of the template, "" for {})   7 job_opts (JSON, of the iteration)   8 slot ("" for `every`)
--             9 late_ms (how long after its slot the job is due)   10 note (JSON, kept for jobd; "" leave)
--             11 prev_ms (slot to go on from, of a scheduler that was paused; "" none)   12 iterations (made before; "")
-- Returns:    job id, its delay in ms; or -10 or -11 (codes.py)
-- Events:     those of insert_job
-- Complexity: O(n) of the list wait when an iteration waits there

-- include: add_iteration
-- include: next_slot
-- include: seal_of
-- include: delete_job
-- include: waiting_list
-- include: check_places
local META, REPEAT = KEYS[1], KEYS[2]
local base, now_ms, sid, definition = ARGV[1], tonumber(ARGV[2]), ARGV[3], cjson.decode(ARGV[4])
local data, opts, job_opts, cron_slot, late_ms = ARGV[5], ARGV[6], cjson.decode(ARGV[7]), tonumber(ARGV[8]), ARGV[9]
local note, resumed_ms, iterations = ARGV[10], tonumber(ARGV[11]), ARGV[12]
local FIELDS = { 'tz', 'limit', 'pattern', 'startDate', 'endDate', 'every' }
local MAX_TRIED = 32
local record = base .. 'repeat:' .. sid

local function key_of(slot)
  return base .. 'repeat:' .. sid .. ':' .. string.format('%.0f', slot)
end

-- Whether the iteration of a slot waited, and is gone now.
local function withdraw(slot)
  local id = 'repeat:' .. sid .. ':' .. string.format('%.0f', slot)
  if redis.call('ZREM', base .. 'delayed', id) + redis.call('ZREM', base .. 'prioritized', id)
    + redis.call('LREM', waiting_list(base), 1, id) == 0 then
    return false
  end
  delete_job(base, id)
  return true
end

check_places(base)
local prev = tonumber(redis.call('ZSCORE', REPEAT, sid) or '')
local stored = redis.call('HMGET', record, 'every', 'ic', 'offset')
local every = definition.every
local same = every and tonumber(stored[1] or '') == every
local slot = cron_slot or next_slot(every, definition.offset, same and prev or resumed_ms, definition.startDate, now_ms)
if prev and withdraw(prev) and same then
  slot = prev
elseif every and not prev and resumed_ms and resumed_ms > now_ms then
  slot = resumed_ms -- the run it was paused before
end
local tried = 0
while redis.call('EXISTS', key_of(slot)) == 1 do
  if cron_slot then
    return { -10, 0 }
  elseif tried == MAX_TRIED then
    return { -11, 0 }
  end
  tried, slot = tried + 1, slot + every
end
local offset = definition.offset or tonumber(stored[3] or '') or (every and slot % every) or 0
redis.call('DEL', record)
redis.call('HSET', record, 'name', definition.name, 'ic', stored[2] or (iterations ~= '' and iterations) or 1, 'offset', string.format('%.0f', offset))
for _, field in ipairs(FIELDS) do
  local value = definition[field]
  if value then
    redis.call('HSET', record, field, type(value) == 'number' and string.format('%.0f', value) or value)
  end
end
if data ~= '' then
  redis.call('HSET', record, 'data', data)
end
if opts ~= '' then
  redis.call('HSET', record, 'opts', opts)
end
redis.call('ZADD', REPEAT, string.format('%.0f', slot), sid)
local NOTES = base .. 'jobd:schedules'
redis.call('HDEL', NOTES, 'p:' .. sid)
if note ~= '' then
  redis.call('HSET', NOTES, 's:' .. sid, note)
  redis.call('HDEL', NOTES, 'x:' .. sid)
end
if note ~= '' or (iterations ~= '' and redis.call('HEXISTS', NOTES, 's:' .. sid) == 1) then
  redis.call('HSET', NOTES, 'h:' .. sid, seal_of(base, sid))
end
local delay = add_iteration(base, sid, slot, cron_slot ~= nil, definition.name, data == '' and '{}' or data, job_opts,
  now_ms, tonumber(late_ms))
return { 'repeat:' .. sid .. ':' .. string.format('%.0f', slot), delay }
