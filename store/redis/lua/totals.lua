-- The floor, and for each subject seven sums over the held minutes in [start, end). The sum of squares may pass 2^53: it
-- comes as two numbers, `high * 2^26 + low`.
local first, last, subjects = tonumber(ARGV[2]), tonumber(ARGV[3]), cmsgpack.unpack(ARGV[4])
local namespace = current()
if not namespace then
  return false
end
local floor = floor_of(namespace)
local reply = {floor}
for i = 1, 7 * #subjects do
  reply[i + 1] = 0
end
for _, minute in ipairs(held_minutes(namespace, math.max(first, floor), last)) do
  local buckets = redis.call('HMGET', key(namespace, 'm:' .. minute), unpack(subjects))
  for i = 1, #subjects do
    if buckets[i] then
      local c, n, u, p, s, q = sums(buckets[i])
      local at, high = 7 * i - 6, math.floor(q / 67108864)
      reply[at + 1] = reply[at + 1] + c
      reply[at + 2] = reply[at + 2] + n
      reply[at + 3] = reply[at + 3] + u
      reply[at + 4] = reply[at + 4] + p
      reply[at + 5] = reply[at + 5] + s
      reply[at + 6] = reply[at + 6] + high
      reply[at + 7] = reply[at + 7] + (q - high * 67108864)
    end
  end
end
return reply
