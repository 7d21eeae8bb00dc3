-- The floor, and all marks.
local namespace = current()
if not namespace then
  return false
end
return {floor_of(namespace), redis.call('HVALS', key(namespace, 'marks'))}
