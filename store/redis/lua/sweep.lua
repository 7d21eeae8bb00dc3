-- Remove some of what lies in namespaces not in use, except the one named. Returns 0 when nothing is left to remove.
local spare, keep, budget = prefix .. ':spare', ARGV[2], tonumber(ARGV[3])
for _, namespace in ipairs(redis.call('HKEYS', spare)) do
  if namespace ~= keep then
    -- no chunk may be added to it from now on
    redis.call('HSET', spare, namespace, 'retired')
    if drop(namespace, '+inf', budget) == 0 then
      redis.call('UNLINK', key(namespace, 'guards'), key(namespace, 'marks'), key(namespace, 'floor'))
      redis.call('HDEL', spare, namespace)
    end
    return 1
  end
end
return 0
