-- seal_of(base, sid): a digest of what a scheduler is made of, to tell whether somebody else has changed it since.
local function seal_of(base, sid)
  local fields = redis.call('HMGET', base .. 'repeat:' .. sid, 'name', 'pattern', 'every', 'tz', 'limit', 'startDate',
    'endDate', 'data', 'opts')
  for i = 1, 9 do
    fields[i] = fields[i] or ''
  end
  return redis.sha1hex(table.concat(fields, '\n'))
end
