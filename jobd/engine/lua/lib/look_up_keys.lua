-- include: read_job
-- include: key_of
-- include: load_holders
-- look_up_keys(limit, base, ids): the rows of these jobs by id, as read_job's with the member key; the book knows the keys.
-- limit: {path, in_opts, holders}.
local function look_up_keys(limit, base, ids)
  local rows, keys = {}, {}
  for _, id in ipairs(ids) do
    local row = read_job(base .. id)
    if row then
      row.key = key_of(limit, id, row)
      keys[#keys + 1] = row.key
      rows[id] = row
    end
  end
  load_holders(limit.holders, keys)
  return rows
end
