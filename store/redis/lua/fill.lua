-- Add the chunk with this number to a namespace that is being filled, unless that namespace was swept away, or the
-- server fell back to an older state: then the chunks before it are not all there.
local namespace, number, before = ARGV[2], ARGV[3], ARGV[4]
local filled = redis.call('HGET', prefix .. ':spare', namespace)
if filled == number then
  return 1
end
if filled ~= before then
  return 0
end
add(namespace, cmsgpack.unpack(ARGV[5]), -math.huge)
redis.call('HSET', prefix .. ':spare', namespace, number)
return 1
