-- Open a new, empty namespace. Its name tells when it was begun, and is never used twice.
local number = redis.call('INCR', prefix .. ':started')
local namespace = string.format('%.0f', number) .. '-' .. ARGV[2]
redis.call('HSET', prefix .. ':spare', namespace, 0)
return namespace
