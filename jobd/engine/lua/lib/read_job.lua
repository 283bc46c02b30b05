-- read_job(job): what a taker is told about the job of this key: names and values of its hash in turn, as HGETALL has them
-- (turn.py's read_taken); nil when the key is no hash. The row has members beside, for the script: ats, defa (it only
-- fails), sus (it lost a worker together with others), nil where the hash has no such field.
-- One HGETALL costs Redis less than asking for fifteen fields by name, and copying them costs more than sending a few
-- that nobody reads.
local function read_job(job)
  local row = redis.pcall('HGETALL', job)
  if row.err then
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
