-- include: holders_of
-- limit_per_key(base, most, path): a queue's limit per key as the other functions take it; nil for most "".
-- path: names joined by dots, into data, or into opts when the first one is "opts" and not the only one.
-- Returns {most, path (names), in_opts, first (a pattern), holders, aside (how many jobs this script has set aside)}.
-- `first` finds a plain value that is the first member, where producers often have it: cheaper than reading the JSON.
local function limit_per_key(base, most, path)
  if most == '' then
    return nil
  end
  local names = {}
  for name in string.gmatch(path, '[^.]+') do
    names[#names + 1] = name
  end
  local in_opts = names[1] == 'opts' and #names > 1
  if in_opts then
    table.remove(names, 1)
  end
  local quoted = #names == 1 and string.gsub(names[1], '%W', '%%%0')
  return { most = tonumber(most), path = names, in_opts = in_opts,
    first = quoted and '^{"' .. quoted .. '": ?("?[%w_.-]+"?)[,}]', holders = holders_of(base), aside = 0 }
end
