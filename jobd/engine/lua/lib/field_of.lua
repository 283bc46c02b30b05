-- field_of(row, name): a field's value in a row of read_job, nil when it has none.
local function field_of(row, name)
  for i = 1, #row, 2 do
    if row[i] == name then
      return row[i + 1]
    end
  end
end
