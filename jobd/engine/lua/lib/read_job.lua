-- include when used: is_own_key
-- read_job(base, id): what a taker is told about a job: names and values of its hash in turn, as HGETALL has them (turn.py's
-- read_taken); nil when there is something else under its key, or the id names another key of the queue. The row has
-- members beside, for the script: ats, defa (it only fails), sus (it lost a worker together with others), nil where the
-- hash has no such field.
-- One HGETALL costs Redis less than asking for fifteen fields by name, and copying them costs more than sending a few
-- that nobody reads.
local function read_job(base, id)
  local row = redis.pcall('HGETALL', base .. id)
  -- Most hashes of jobs begin with the name.
  if row.err or row[1] ~= 'name' and not tonumber(id) and is_own_key(id) then
    return nil
  end
  for i = 1, #row, 2 do
    local name = row[i]
    if name == 'ats' or name == 'defa' or name == 'sus' then
      row[name] = row[i + 1]
    end
  end
  return row
end
