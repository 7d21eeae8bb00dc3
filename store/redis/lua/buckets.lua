-- The floor, all marks, and every held minute in [start, end) with its buckets (MessagePack: subject, bucket, ...).
local first, last = tonumber(ARGV[2]), tonumber(ARGV[3])
local namespace = current()
if not namespace then
  return false
end
local floor = floor_of(namespace)
local reply = {floor, redis.call('HVALS', key(namespace, 'marks'))}
for _, minute in ipairs(held_minutes(namespace, math.max(first, floor), last)) do
  reply[#reply + 1] = minute
  reply[#reply + 1] = cmsgpack.pack(redis.call('HGETALL', key(namespace, 'm:' .. minute)))
end
return reply
