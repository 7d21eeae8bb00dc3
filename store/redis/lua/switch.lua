-- Put a namespace into use if all its chunks are there. One that was begun later and is in use already stays.
local namespace, chunks = ARGV[2], ARGV[3]
local finish = cmsgpack.unpack(ARGV[4])
local spare, old = prefix .. ':spare', current()
if old == namespace then
  return 1
end
if redis.call('HGET', spare, namespace) ~= chunks then
  return 0
end
local function begun(name)
  return tonumber(string.match(name, '^%d+'))
end
if old and begun(old) > begun(namespace) then
  redis.call('HSET', spare, namespace, 'retired')
  return 1
end
for field, offset in pairs(finish.guards) do
  redis.call('HSET', key(namespace, 'guards'), field, offset)
end
for field, mark in pairs(finish.marks) do
  redis.call('HSET', key(namespace, 'marks'), field, mark)
end
redis.call('SET', key(namespace, 'floor'), finish.floor)
redis.call('SET', prefix .. ':current', namespace)
redis.call('HDEL', spare, namespace)
if old then
  redis.call('HSET', spare, old, 'retired')
end
return 1
