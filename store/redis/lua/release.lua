-- Give the lease on rebuilding back if it is still ours.
local lease = prefix .. ':rebuilding'
if redis.call('GET', lease) == ARGV[2] then
  redis.call('DEL', lease)
end
return 1
