-- remove_orphans: jobs that no list or set of their queue names any more are gone, and what others left behind.
-- Promise:    of the ids given, those that are in no state are deleted: jobs with their keys, and the keys of a job
--             whose hash is gone. Nothing else changes.
-- KEYS:       1 base (the queue's prefix, ends in a colon)   From it the lists and sets of the states, and per job its
--             hash, lock and sub keys
-- ARGV:       1 only_look ("1": nothing is deleted)   2 on: job ids
-- Returns:    the ids that were deleted, or would be
-- Events:     none
-- Complexity: O(ids), and O(n) of wait and active for each that is in no set

-- include: delete_job

local base = KEYS[1]
local only_look = ARGV[1] == '1'

-- What lies beside a job's hash, by the type it has there.
local kinds = {logs = 'list', dependencies = 'set', processed = 'hash', failed = 'hash', unsuccessful = 'zset',
  lock = 'string'}

local function has_left_keys(id)
  if redis.call('EXISTS', base .. id) == 1 then
    return false
  end
  for word, kind in pairs(kinds) do
    local name = id .. ':' .. word
    -- The record of a scheduler whose id ends in such a word is a hash, too: repeat:<id>.
    local is_scheduler = redis.call('ZSCORE', base .. 'repeat', string.sub(name, 8))
    if redis.call('TYPE', base .. name)['ok'] == kind and not is_scheduler then
      return true
    end
  end
  return false
end

local function is_job(id)
  -- A hash without a timestamp is none of a job: meta and a scheduler's record lie under the same prefix.
  return redis.pcall('HEXISTS', base .. id, 'timestamp') == 1
end

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

local orphans = {}
for index = 2, #ARGV do
  local id = ARGV[index]
  if (is_job(id) or has_left_keys(id)) and not is_listed(id) then
    if not only_look then
      delete_job(base, id)
      redis.call('DEL', base .. id .. ':lock')
    end
    orphans[#orphans + 1] = id
  end
end
return orphans
