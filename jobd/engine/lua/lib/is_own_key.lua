-- is_own_key(id): whether this is no job's id but the name of another key of the queue; the list is that of options.py.
local function is_own_key(id)
  local family = string.match(id, '^([^:]*):')
  if family then
    local two_parts = { ['repeat'] = true, de = true, dn = true, jobd = true }
    return family == 'metrics' or family == 'jobd-aside'
      or two_parts[family] ~= nil and not string.find(id, ':', #family + 2, true)
  end
  local names = { [''] = true, meta = true, id = true, wait = true, active = true, prioritized = true, pc = true,
    delayed = true, ['waiting-children'] = true, completed = true, failed = true, paused = true, marker = true,
    stalled = true, ['stalled-check'] = true, limiter = true, events = true, ['repeat'] = true, priority = true,
    delay = true, ['jobd-probe'] = true, ['jobd-keys'] = true }
  return names[id] ~= nil
end
