-- include: is_legacy
-- include: settings_of
-- waiting_list(base): the list where ids wait to run: wait, or the list `paused` while a queue that BullMQ 5 uses is
-- paused. Version 5 resumes by renaming that list over wait, and whatever was in wait is lost then.
-- Keys: meta and paused under base. Looked up once a script: nothing pauses in the middle of one.
local lists_of_bases = {}
local function waiting_list(base)
  local list = lists_of_bases[base]
  if not list then
    local settings = settings_of(base)
    list = settings[2] and is_legacy(base, settings[3]) and base .. 'paused' or base .. 'wait'
    lists_of_bases[base] = list
  end
  return list
end
