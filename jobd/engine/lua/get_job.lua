-- get_job: read one job and where it is.
-- Promise:    nothing changes; the state and the fields are of one moment.
-- KEYS:       1 job (hash)   2 completed   3 failed   4 delayed   5 prioritized   6 waiting-children (sorted sets)
--             7 active   8 wait   9 paused (lists)
-- ARGV:       1 job id   2 '1' with all fields, '0' the state alone
-- Returns:    {state, {field, value, …}}; no such hash: an empty reply (state alone: 'unknown')
-- Events:     none
-- Complexity: O(log n); O(n) of the lists for a job that is in none of the sets

local job, completed, failed, delayed, prioritized, children = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local active, wait, paused = KEYS[7], KEYS[8], KEYS[9]
local id, with_fields = ARGV[1], ARGV[2] == '1'

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

if not with_fields then
  return {state()}
end
local fields = redis.call('HGETALL', job)
if #fields == 0 then
  return {}
end
return {state(), fields}
