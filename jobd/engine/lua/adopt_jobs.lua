-- adopt_jobs: tell a worker what it holds, after the reply to a take was lost.
-- Promise:    with lock_ms every lock of an active job that begins with the prefix lives that long from now. Nothing else
--             changes.
-- KEYS:       1 active (list)   2 stalled (set)   From base also per job: its hash and lock.
-- ARGV:       1 base (prefix of the queue, ends in a colon)   2 token_prefix   3 lock_ms ("" leaves the locks)
--             4 on: ids the worker knows about, left out of the answer
-- Returns:    per job, oldest first, the row of read_job, then ats (the lock's), then the id
-- Events:     none
-- Complexity: O(active)

-- include: find_held
-- include: read_job

local STALLED, base, token_prefix, lock_ms = KEYS[2], ARGV[1], ARGV[2], ARGV[3]
local KNOWN_FROM = 4
local known, rows = {}, {}
for i = KNOWN_FROM, #ARGV do
  known[ARGV[i]] = true
end
local ids, locks = find_held(base, token_prefix)
for i = #ids, 1, -1 do
  local id = ids[i]
  if lock_ms ~= '' then
    redis.call('PEXPIRE', base .. id .. ':lock', lock_ms)
    redis.call('SREM', STALLED, id)
  end
  if not known[id] then
    local row = read_job(base, id)
    if row then
      local size = #row
      row[size + 1], row[size + 2], row[size + 3] = 'ats', string.match(locks[i], '[^:]*$'), id
      rows[#rows + 1] = row
    end
  end
end
return rows
