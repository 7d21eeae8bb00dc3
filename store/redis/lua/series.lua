-- The floor, and one subject's held minutes in [start, end) with their buckets.
local first, last, subject = tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local namespace = current()
if not namespace then
  return false
end
local floor = floor_of(namespace)
local reply = {floor}
for _, minute in ipairs(held_minutes(namespace, math.max(first, floor), last)) do
  local bucket = redis.call('HGET', key(namespace, 'm:' .. minute), subject)
  if bucket then
    reply[#reply + 1] = minute
    reply[#reply + 1] = bucket
  end
end
return reply
