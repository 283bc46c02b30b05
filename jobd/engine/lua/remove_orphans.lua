-- remove_orphans: job hashes that no list or set of their queue names any more are gone, with their keys.
-- Promise:    of the ids given, those that are jobs and in no state are deleted; nothing else changes.
-- KEYS:       1 base (the queue's prefix, ends in a colon)   From it the lists and sets of the states, and per job its
--             hash, lock and sub keys
-- ARGV:       1 on: job ids
-- Returns:    how many were deleted
-- Events:     none
-- Complexity: O(ids), and O(n) of wait and active for each that is in no set

-- include: delete_job

local base = KEYS[1]

local function is_listed(id)
  for _, set in ipairs({'completed', 'failed', 'delayed', 'prioritized', 'waiting-children'}) do
    if redis.call('ZSCORE', base .. set, id) then
      return true
    end
  end
  for _, list in ipairs({'active', 'wait', 'paused'}) do
    if redis.call('LPOS', base .. list, id) then
      return true
    end
  end
  return false
end

local removed = 0
for _, id in ipairs(ARGV) do
  -- A hash without a timestamp is none of a job: meta and a scheduler's record lie under the same prefix.
  if redis.pcall('HEXISTS', base .. id, 'timestamp') == 1 and not is_listed(id) then
    delete_job(base, id)
    redis.call('DEL', base .. id .. ':lock')
    removed = removed + 1
  end
end
return removed
