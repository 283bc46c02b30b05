-- hand_back_jobs: return what a stopped worker still held.
-- Promise:    every active job whose lock has the prefix waits at the front again, the one taken first runs first;
--             attempts and crashes are as they were, and its field jobdback counts how often that was so. Prioritized
--             jobs go before their equals.
-- KEYS:       1 meta (hash)   2 active (list)   3 events (stream)
--             From base also: wait, prioritized, stalled, marker, and per job its hash and lock; those of free_key.
-- ARGV:       1 base (prefix of the queue, ends in a colon)   2 token_prefix
-- Returns:    per job, newest first: id, how often it was handed back, this time included
-- Events:     waiting (prev active)
-- Complexity: O(active), plus the place in active of each id

-- include: max_events
-- include: check_places
-- include: find_held
-- include: drop_active
-- include: count_up
-- include: put_back
-- include: free_key

local META, base, token_prefix = KEYS[1], ARGV[1], ARGV[2]
check_places(base)
local max_len = max_events(META)
local handed = {}
for _, id in ipairs(find_held(base, token_prefix)) do
  if drop_active(base, id) and redis.call('EXISTS', base .. id) == 1 then
    local priority = tonumber(redis.call('HGET', base .. id, 'priority') or '') or 0
    put_back(base, id, priority, true, max_len)
    free_key(base, redis.call('HGET', base .. id, 'jobdkey'), id, true)
    handed[#handed + 1] = id
    handed[#handed + 1] = count_up(base .. id, 'jobdback')
  end
end
return handed
