-- note_drained(base): tell that nothing waits and nothing runs, when that is so.
-- Keys: wait, active, prioritized, events under base.   Events: drained
local function note_drained(base)
  if redis.call('EXISTS', base .. 'wait', base .. 'active', base .. 'prioritized') == 0 then
    redis.call('XADD', base .. 'events', '*', 'event', 'drained')
  end
end
