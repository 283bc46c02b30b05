-- get_job: read one job and where it is.
-- Promise:    nothing changes; the state and the fields are of one moment.
-- KEYS:       1 job (hash)   2 completed   3 failed   4 delayed   5 prioritized   6 waiting-children (sorted sets)
--             7 active   8 wait   9 paused (lists)
-- ARGV:       1 job id   2 max (integer; bytes of a payload that is read, -1: whatever its size; '': the state alone)
-- Returns:    {state, {field, value, …}, {field, bytes, …} of those too long}; no such hash: an empty reply (state alone:
--             'unknown')
-- Events:     none
-- Complexity: O(log n); O(n) of the lists for a job that is in none of the sets

-- include: bounded_fields

local job, completed, failed, delayed, prioritized, children = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local active, wait, paused = KEYS[7], KEYS[8], KEYS[9]
local id, max = ARGV[1], tonumber(ARGV[2])

local function state()
  local sets = {{completed, 'completed'}, {failed, 'failed'}, {delayed, 'delayed'}, {prioritized, 'prioritized'}}
  for _, set in ipairs(sets) do
    if redis.call('ZSCORE', set[1], id) then
      return set[2]
    end
  end
  local lists = {{active, 'active'}, {wait, 'waiting'}, {paused, 'waiting'}}
  for _, list in ipairs(lists) do
    if redis.call('LPOS', list[1], id) then
      return list[2]
    end
  end
  return redis.call('ZSCORE', children, id) and 'waiting-children' or 'unknown'
end

if not max then
  return {state()}
end
local fields, cut = bounded_fields(job, max)
if #fields == 0 then
  return {}
end
return {state(), fields, cut}
