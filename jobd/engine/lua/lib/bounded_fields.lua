-- bounded_fields(job, max): what people are shown of a job's hash, without the payloads (data, opts, returnvalue,
-- stacktrace, progress) longer than max bytes (a number; below 0: every field whatever its size). Of a longer name or
-- failedReason the first 64 kB are given: they are looked for.
-- Returns: {field, value, …}, {field, its bytes, …} of those left out or cut; two empty tables without a hash.
local function bounded_fields(job, max)
  if max < 0 then
    return redis.call('HGETALL', job), {}
  end
  local wanted = { 'timestamp', 'delay', 'priority', 'atm', 'attemptsMade', 'ats', 'stc', 'processedOn', 'finishedOn',
    'pb', 'parentKey', 'rjk', 'deid' }
  local fields, cut = {}, {}
  for _, name in ipairs({ 'name', 'failedReason', 'data', 'opts', 'returnvalue', 'stacktrace', 'progress' }) do
    local bytes = redis.call('HSTRLEN', job, name)
    local is_text = name == 'name' or name == 'failedReason'
    if bytes <= (is_text and 65536 or max) then
      wanted[#wanted + 1] = name
    else
      cut[#cut + 1] = name
      cut[#cut + 1] = bytes
      if is_text then
        fields[#fields + 1] = name
        fields[#fields + 1] = string.sub(redis.call('HGET', job, name), 1, 65536)
      end
    end
  end
  for at, value in ipairs(redis.call('HMGET', job, unpack(wanted))) do
    if value then
      fields[#fields + 1] = wanted[at]
      fields[#fields + 1] = value
    end
  end
  return fields, cut
end
