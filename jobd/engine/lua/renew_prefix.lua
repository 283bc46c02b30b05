-- renew_prefix: keep a worker's hold on everything it holds, known to us or not.
-- Promise:    every lock of an active job that begins with the prefix lives lock_ms from now. Nothing else changes.
-- KEYS:       1 active (list)   2 stalled (set)   From base also the locks.
-- ARGV:       1 base (prefix of the queue, ends in a colon)   2 token_prefix   3 lock_ms
-- Returns:    the ids, newest first
-- Events:     none
-- Complexity: O(active)

-- include: find_held

local STALLED, base, token_prefix, lock_ms = KEYS[2], ARGV[1], ARGV[2], ARGV[3]
local ids = find_held(base, token_prefix)
for _, id in ipairs(ids) do
  redis.call('PEXPIRE', base .. id .. ':lock', lock_ms)
  redis.call('SREM', STALLED, id)
end
return ids
