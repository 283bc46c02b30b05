-- drop_jobs: the oldest jobs of one state are gone; a slice of BullMQ's drain, clean or obliterate.
-- Promise:    of the jobs looked at, those that are old enough are in no list or set any more and their keys are gone;
--             what somebody runs, and a scheduler's next job, stay unless forced. Parents: drop_hard.
-- KEYS:       1 the state's list or sorted set   2 meta (hash)   3 events (stream)   From the base also: repeat, stalled,
--             de: and dn:, and per job its hash, lock and sub keys; parents' keys from the jobs' own fields
-- ARGV:       1 base (key prefix of the queue)   2 state (BullMQ's word)   3 from (rank of the first looked at, the oldest
--             is 0)   4 count (how many are looked at, at most 1000)   5 most (how many are dropped)
--             6 before_ms ("" any age; finished, else started, else added not later)   7 force (1: locked ones and
--             schedulers' next jobs too)   8 tell (1: the event)
-- Returns:    {how many were looked at, ids that were dropped}
-- Events:     cleaned (count), when told to
-- Complexity: O(from + count)

-- include: max_events
-- include: is_next_iteration
-- include: drop_hard

local container, meta, events = KEYS[1], KEYS[2], KEYS[3]
local base, state, from, count = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local most, before_ms, force, tell = tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7] == '1', ARGV[8] == '1'

local is_list = state == 'waiting' or state == 'active'
local is_finished = state == 'completed' or state == 'failed'

-- The ids of the ranks, the oldest first: the tail of a list.
local function read_ids()
  if is_list then
    local part, ids = redis.call('LRANGE', container, -(from + count), -(from + 1)), {}
    for at = #part, 1, -1 do
      ids[#ids + 1] = part[at]
    end
    return ids
  elseif is_finished and before_ms then
    return redis.call('ZRANGEBYSCORE', container, '-inf', string.format('%.0f', before_ms), 'LIMIT', from, count)
  end
  return redis.call('ZRANGE', container, from, from + count - 1)
end

local function may_go(id)
  if is_finished then
    return true -- asked for by its score
  end
  local stored = redis.pcall('HMGET', base .. id, 'finishedOn', 'processedOn', 'timestamp', 'rjk')
  if not force and (is_next_iteration(base, id, stored[4])
    or (state == 'active' and redis.call('EXISTS', base .. id .. ':lock') == 1)) then
    return false
  end
  local moment = tonumber(stored[1] or stored[2] or stored[3] or '')
  return not before_ms or not moment or moment <= before_ms
end

local ids, gone = read_ids(), {}
for _, id in ipairs(ids) do
  if #gone < most and may_go(id) then
    gone[#gone + 1] = id
  end
end
if is_list and from == 0 and #gone == #ids then
  redis.call('LTRIM', container, 0, -#gone - 1)
elseif is_list then
  for _, id in ipairs(gone) do
    redis.call('LREM', container, -1, id)
  end
elseif #gone > 0 then
  redis.call('ZREM', container, unpack(gone))
end
for _, id in ipairs(gone) do
  drop_hard(base, id)
  if state == 'active' then
    redis.call('DEL', base .. id .. ':lock')
    redis.call('SREM', base .. 'stalled', id)
  end
end
if tell then
  redis.call('XADD', events, 'MAXLEN', '~', max_events(meta), '*', 'event', 'cleaned', 'count', #gone)
end
return {#ids, gone}
