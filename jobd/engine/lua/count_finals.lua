-- count_finals: add the jobs that ended for good since the last time to BullMQ's metrics of their minute.
-- Promise:    each total of a source is added once, however often it is sent; jobs of a minute that another has closed
--             meanwhile are added to that minute. No list is longer than `most`.
-- KEYS:       1 metrics:completed (hash)   2 metrics:completed:data (list)   3 metrics:failed (hash)
--             4 metrics:failed:data (list)   5 jobd:metrics (hash, totals by source)
-- ARGV:       1 at_ms (when they ended)   2 most (minutes kept)   3 source   4 life_ms (of key 5)   5 completed
--             6 completed_before   7 failed   8 failed_before (totals of the source; before: what it knows to be added)
-- Returns:    0
-- Events:     none
-- Complexity: O(minutes since the last one)

local at_ms, most, source, life_ms = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3], ARGV[4]
local totals = { { 'completed', ARGV[5], ARGV[6] }, { 'failed', ARGV[7], ARGV[8] } }
local SEEN, MINUTE_MS = KEYS[5], 60000
local call = redis.call

local function number(value)
  return tonumber(value or '') or 0
end

-- A later job has closed the minute of these: they belong to its entry, if that is still kept.
local function add_to_closed(head, data, more, ago)
  if ago > call('LLEN', data) then
    return
  end
  call('LSET', data, ago - 1, string.format('%.0f', number(call('LINDEX', data, ago - 1)) + more))
  call('HINCRBY', head, 'prevCount', more)
end

-- Closes the minute of `since`, and the empty ones after it, as the first job of a later minute does in BullMQ.
local function close(head, data, count, before, minutes)
  minutes = math.min(minutes, most)
  call('LPUSH', data, string.format('%.0f', count - before))
  for _ = 2, minutes do
    call('LPUSH', data, '0')
  end
  call('LTRIM', data, 0, most - 1)
  call('HSET', head, 'prevCount', string.format('%.0f', count), 'prevTS', ARGV[1])
end

local function add(head, data, more)
  local stored = call('HMGET', head, 'count', 'prevTS', 'prevCount')
  call('HINCRBY', head, 'count', string.format('%.0f', more))
  if not stored[2] then
    call('HSET', head, 'prevTS', ARGV[1], 'prevCount', '0')
    return
  end
  local minutes = math.floor(at_ms / MINUTE_MS) - math.floor(number(stored[2]) / MINUTE_MS)
  if minutes > 0 then
    close(head, data, number(stored[1]), number(stored[3]), minutes)
  elseif minutes < 0 then
    add_to_closed(head, data, more, -minutes)
  end
end

for i, total in ipairs(totals) do
  local state, now, known = total[1], tonumber(total[2]), tonumber(total[3])
  local field = source .. ':' .. state
  -- More than the source knows of: the answer to an earlier call was lost.
  local more = now - math.max(known, number(call('HGET', SEEN, field)))
  if more > 0 then
    add(KEYS[2 * i - 1], KEYS[2 * i], more)
    call('HSET', SEEN, field, total[2])
    call('PEXPIRE', SEEN, life_ms)
  end
end
return 0
