-- Count one partition's changes if its guard is where they start. request: partition, topic and topic_id prefixes,
-- namespace ('' for any), start, finish, groups, marks (field -> JSON), floor, budget, ask (whether to return all marks).
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

-- The marks of this partition are those that the history tells. A topic made anew has another id: what a former self of
-- `scored` knew of a source is void once this one knows that source, or a later self of it; it would hold the watermark
-- back for ever.
local known, topic_ids = {}, {}
for field in pairs(request.marks) do
  local source, topic, topic_id = string.match(field, ' (([^:]+):([^:]+):%d+)$')
  known[source], topic_ids[topic] = true, topic_id
end
for _, field in ipairs(redis.call('HKEYS', marks)) do
  local scored, source, topic, topic_id = string.match(field, '^(%S+) (([^:]+):([^:]+):%d+)$')
  local same_topic = string.sub(scored, 1, #request.topic) == request.topic
  local former_self = same_topic and string.sub(scored, 1, #request.topic_id) ~= request.topic_id
  local void = known[source] or (topic_ids[topic] or topic_id) ~= topic_id
  if (scored == request.partition and not request.marks[field]) or (former_self and void) then
    redis.call('HDEL', marks, field)
  end
end
for field, mark in pairs(request.marks) do
  redis.call('HSET', marks, field, mark)
end

drop(namespace, floor, request.budget)
return {'applied', namespace, request.ask and redis.call('HVALS', marks) or false}
