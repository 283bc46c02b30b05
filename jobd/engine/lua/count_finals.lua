-- count_finals: add the jobs that ended for good since the last time to BullMQ's metrics of their minute.
-- Promise:    each total of a source is added once, however often it is sent; jobs of a minute that another has closed
--             meanwhile are added to that minute. No list is longer than `most`. What a source has added lies beside
--             the count, so whoever deletes the one deletes the other: BullMQ's obliterate leaves no key of ours.
-- KEYS:       1 metrics:completed (hash)   2 metrics:completed:data (list)   3 metrics:failed (hash)
--             4 metrics:failed:data (list)
-- ARGV:       1 at_ms (when they ended)   2 most (minutes kept)   3 source   4 life_ms (how long a source is remembered
--             that adds nothing)   5 completed   6 completed_before   7 failed   8 failed_before (totals of the source;
--             before: what it knows to be added)
-- Returns:    0
-- Events:     none
-- Complexity: O(minutes since the last one); a source's first call: plus O(sources)

local at_ms, most, source, life_ms = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3], ARGV[4]
local totals = { { ARGV[5], ARGV[6] }, { ARGV[7], ARGV[8] } } -- completed, failed: as the keys
local MINUTE_MS, SOURCE = 60000, 'jobd:' .. source
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

-- A field of a source: its total, and when it last added, in ms.
local function read_source(text)
  local total, last_ms = string.match(text or '', '^(%d+) (%d+)$')
  return number(total), number(last_ms)
end

-- Every start of a daemon is a source of its own: those that are no more must not pile up.
local function forget_old_sources(head)
  local fields = call('HGETALL', head)
  for i = 1, #fields, 2 do
    local _, last_ms = read_source(fields[i + 1])
    if string.sub(fields[i], 1, 5) == 'jobd:' and last_ms < at_ms - life_ms then
      call('HDEL', head, fields[i])
    end
  end
end

for i, total in ipairs(totals) do
  local head, now, known = KEYS[2 * i - 1], tonumber(total[1]), tonumber(total[2])
  local stored = call('HGET', head, SOURCE)
  -- More than the source knows of: the answer to an earlier call was lost.
  local more = now - math.max(known, (read_source(stored)))
  if more > 0 then
    if not stored then
      forget_old_sources(head)
    end
    add(head, KEYS[2 * i], more)
    call('HSET', head, SOURCE, total[1] .. ' ' .. ARGV[1])
  end
end
return 0
