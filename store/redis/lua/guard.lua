-- The guard of one partition, and the namespace that it was read in.
local namespace = current()
if not namespace then
  return false
end
return {namespace, redis.call('HGET', key(namespace, 'guards'), ARGV[2])}
