-- The floor, and how many publishers had negative documents on one subject in [start, end), or nothing when some of
-- these minutes lie below the floor or they are more than one PFCOUNT is given: no union is the sum of its parts, and
-- merging them would be a write.
local MOST = 7000 -- Lua's stack ends at 8,000 arguments (LUAI_MAXCSTACK)
local first, last, subject = tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local namespace = current()
if not namespace then
  return false
end
local floor = floor_of(namespace)
if first < floor then
  return {floor, false}
end
local count, keys = 0, {}
for _, minute in ipairs(held_minutes(namespace, first, last)) do
  keys[#keys + 1] = key(namespace, 'p:' .. minute .. ':' .. subject)
end
if #keys > MOST then
  return {floor, false}
end
if #keys > 0 then
  count = redis.call('PFCOUNT', unpack(keys))
end
return {floor, count}
