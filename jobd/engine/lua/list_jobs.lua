-- list_jobs: read one page of the jobs of one state.
-- Promise:    nothing changes; the page is of one moment.
-- KEYS:       1 the state's list or sorted set
-- ARGV:       1 base (key prefix of the queue)   2 start   3 stop (ranks, inclusive, integers; the page is the caller's
--             limit)   4 command: ZRANGE, ZREVRANGE (sets) or LRANGE, LREVRANGE (lists; LRANGE starts at the tail,
--             with the job that runs next)
-- Returns:    {id, {field, value, …}} for each id, an empty table of fields where the hash is gone
-- Events:     none
-- Complexity: O(log n + page), O(page + its rank) in a list

local container = KEYS[1]
local base, start, stop, command = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]

local ids
if command == 'LRANGE' then
  local from_head = redis.call('LRANGE', container, -(stop + 1), -(start + 1))
  ids = {}
  for at = #from_head, 1, -1 do
    ids[#ids + 1] = from_head[at]
  end
elseif command == 'LREVRANGE' then
  ids = redis.call('LRANGE', container, start, stop)
else
  ids = redis.call(command, container, start, stop)
end

local page = {}
for at, id in ipairs(ids) do
  page[at] = {id, redis.call('HGETALL', base .. id)}
end
return page
