-- The floor, and the held minutes in [start, end).
local first, last = tonumber(ARGV[2]), tonumber(ARGV[3])
local namespace = current()
if not namespace then
  return false
end
local floor = floor_of(namespace)
return {floor, held_minutes(namespace, math.max(first, floor), last)}
