-- read_job(base, id): what a taker is told about a job, in the order of turn.py's read_taken; a missing field is false.
-- Index 8 is ats, 13 defa, 15 sus (set on jobs that lost a worker together with others), 16 the id.
-- One HGETALL costs Redis less than asking for fifteen fields by name, most of which are absent.
local function read_job(base, id)
  local all, field = redis.pcall('HGETALL', base .. id), {}
  if all.err then
    return nil -- the key is no hash, so the id is no job
  end
  for i = 1, #all, 2 do
    field[all[i]] = all[i + 1]
  end
  return { field.name or false, field.data or false, field.opts or false, field.timestamp or false,
    field.delay or false, field.priority or false, field.atm or false, field.ats or false, field.stc or false,
    field.deid or false, field.parentKey or false, field.rjk or false, field.defa or false, field.stacktrace or false,
    field.sus or false, id }
end
