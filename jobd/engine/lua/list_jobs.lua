-- list_jobs: read one page of the jobs of one state.
-- Promise:    nothing changes; the page is of one moment.
-- KEYS:       1 the state's list or sorted set   2 for lists the one whose ids run before those of the first (`paused`
--             beside wait), else the same key again
-- ARGV:       1 base (key prefix of the queue)   2 start   3 stop (ranks, inclusive, integers; the page is the caller's
--             limit)   4 command: ZRANGE, ZREVRANGE (sets) or LRANGE, LREVRANGE (lists; LRANGE starts at the tail,
--             with the job that runs next)   5 max (integer; bytes of a payload that is read, -1: whatever its size)
-- Returns:    {id, {field, value, …}, {field, bytes, …} of those too long} for each id, empty tables where the hash is gone
-- Events:     none
-- Complexity: O(log n + page), O(page + its rank) in a list

-- include: bounded_fields

local container, sooner = KEYS[1], KEYS[2]
local base, start, stop, command = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local max = tonumber(ARGV[5])

local ids = {}

-- The ids of these ranks of one list; what they miss of it is told as ranks of the list behind it.
local function read_list(list, from, to, tail_first)
  local length = redis.call('LLEN', list)
  if from < length and tail_first then
    local part = redis.call('LRANGE', list, -(to + 1), -(from + 1))
    for at = #part, 1, -1 do
      ids[#ids + 1] = part[at]
    end
  elseif from < length then
    for _, id in ipairs(redis.call('LRANGE', list, from, to)) do
      ids[#ids + 1] = id
    end
  end
  return math.max(from - length, 0), to - length
end

if command == 'LRANGE' or command == 'LREVRANGE' then
  local tail_first = command == 'LRANGE'
  local lists = tail_first and { sooner, container } or { container, sooner }
  if sooner == container then
    lists = { container }
  end
  for _, list in ipairs(lists) do
    if stop >= 0 then
      start, stop = read_list(list, start, stop, tail_first)
    end
  end
else
  ids = redis.call(command, container, start, stop)
end

local page = {}
for at, id in ipairs(ids) do
  local fields, cut = bounded_fields(base .. id, max)
  page[at] = {id, fields, cut}
end
return page
