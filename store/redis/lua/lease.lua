-- Take the lease on rebuilding, or renew it. Says whether it is ours, which namespace is in use, and how many rebuilds
-- were ever started.
local lease, token, milliseconds = prefix .. ':rebuilding', ARGV[2], ARGV[3]
local holder = redis.call('GET', lease)
if not holder or holder == token then
  redis.call('SET', lease, token, 'PX', milliseconds)
  holder = token
end
return {holder == token and 1 or 0, current(), redis.call('GET', prefix .. ':started') or '0'}
