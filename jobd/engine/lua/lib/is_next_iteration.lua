-- is_next_iteration(base, id, scheduler): whether this job is the next one of a job scheduler that is there. Nobody
-- deletes it beside its scheduler: whoever takes it makes the one after it. scheduler is the job's field rjk, or false.
-- Keys: repeat under base.
local function is_next_iteration(base, id, scheduler)
  local current = scheduler and redis.call('ZSCORE', base .. 'repeat', scheduler)
  return current and id == 'repeat:' .. scheduler .. ':' .. string.format('%.0f', tonumber(current)) or false
end
