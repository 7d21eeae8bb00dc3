-- Count one partition's changes if its guard is where they start. request: partition, topic and topic_id prefixes,
-- namespace ('' for any), start, finish, groups, marks, floor, budget, ask (whether to return all marks).
local request = cmsgpack.unpack(ARGV[2])
local namespace = current()
if not namespace then
  return {'empty'}
end
local guards, marks = key(namespace, 'guards'), key(namespace, 'marks')
local guard = redis.call('HGET', guards, request.partition)
if (request.namespace ~= '' and request.namespace ~= namespace) or (guard or '0') ~= request.start then
  return {'moved', namespace, guard}
end

local floor = math.max(floor_of(namespace), request.floor)
add(namespace, request.groups, floor)
redis.call('HSET', guards, request.partition, request.finish)
redis.call('SET', key(namespace, 'floor'), string.format('%.0f', floor))

-- A topic made anew has another id: the marks of its former self would hold the watermark back for ever.
for _, partition in ipairs(redis.call('HKEYS', marks)) do
  local same_topic = string.sub(partition, 1, #request.topic) == request.topic
  if same_topic and string.sub(partition, 1, #request.topic_id) ~= request.topic_id then
    redis.call('HDEL', marks, partition)
  end
end
redis.call('HSET', marks, request.partition, request.marks)

drop(namespace, floor, request.budget)
return {'applied', namespace, request.ask and redis.call('HVALS', marks) or false}
