-- Duty: what every changing script ends with.
local function close()
  write_finished()
  write_counts()
  wake_pushed()
  events_publish()
end
