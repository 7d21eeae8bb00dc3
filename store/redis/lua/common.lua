-- Stands before every script. Keys (docs/windows.md describes them):
--   {prefix}:current                 the namespace in use
--   {prefix}:spare                   hash: namespaces not in use -> chunks filled, or "retired"
--   {prefix}:started                 how many rebuilds were ever started
--   {prefix}:rebuilding              the lease of the process that rebuilds
--   {prefix}:{namespace}:guards      hash: partition -> offset up to which it is counted
--   {prefix}:{namespace}:marks       hash: partition of scored, space, source partition -> mark (JSON)
--   {prefix}:{namespace}:floor       the oldest minute that is held whole
--   {prefix}:{namespace}:minutes     sorted set of the minutes that have buckets
--   {prefix}:{namespace}:m:{minute}  hash: subject -> bucket
--   {prefix}:{namespace}:p:{minute}:{subject}  HyperLogLog of the publishers of negative documents
local prefix = ARGV[1]

local function key(namespace, name)
  return prefix .. ':' .. namespace .. ':' .. name
end

local function current()
  return redis.call('GET', prefix .. ':current')
end

-- A bucket is text: count, negative, neutral, positive, polarity sum, sum of squares. All are whole numbers below 2^53,
-- which doubles, Lua's only numbers, hold exactly.
local BUCKET = '^(%-?%d+) (%-?%d+) (%-?%d+) (%-?%d+) (%-?%d+) (%-?%d+)$'
local EXACT = 2 ^ 53

local function sums(bucket)
  local c, n, u, p, s, q = string.match(bucket, BUCKET)
  return tonumber(c), tonumber(n), tonumber(u), tonumber(p), tonumber(s), tonumber(q)
end

-- Add groups {minute, {subject ...}, {six numbers for each ...}, {{subject, {publisher ...}} ...}} at or above `floor`.
-- Everything is computed before anything is written: an error in the middle of a script is not rolled back.
local function add(namespace, groups, floor)
  local writes = {}
  for _, group in ipairs(groups) do
    local minute, subjects, numbers = group[1], group[2], group[3]
    if minute >= floor then
      local held = redis.call('HMGET', key(namespace, 'm:' .. minute), unpack(subjects))
      local fields = {}
      for i, subject in ipairs(subjects) do
        local at = 6 * (i - 1)
        local c, n, u, p, s, q = unpack(numbers, at + 1, at + 6)
        if held[i] then
          local hc, hn, hu, hp, hs, hq = sums(held[i])
          c, n, u, p, s, q = c + hc, n + hn, u + hu, p + hp, s + hs, q + hq
        end
        if q >= EXACT then
          error('a bucket is too large to be summed exactly: ' .. minute .. ' ' .. subject)
        end
        fields[2 * i - 1] = subject
        fields[2 * i] = string.format('%.0f %.0f %.0f %.0f %.0f %.0f', c, n, u, p, s, q)
      end
      writes[#writes + 1] = {minute, fields, group[4]}
    end
  end
  for _, write in ipairs(writes) do
    local minute = write[1]
    redis.call('HSET', key(namespace, 'm:' .. minute), unpack(write[2]))
    redis.call('ZADD', key(namespace, 'minutes'), minute, minute)
    for _, speakers in ipairs(write[3]) do
      redis.call('PFADD', key(namespace, 'p:' .. minute .. ':' .. speakers[1]), unpack(speakers[2]))
    end
  end
end

-- Remove buckets of minutes below `before`, the oldest first, until about `budget` keys are gone. Returns how many went.
local function drop(namespace, before, budget)
  local gone = 0
  local minutes = redis.call('ZRANGE', key(namespace, 'minutes'), '-inf', '(' .. before, 'BYSCORE', 'LIMIT', 0, budget)
  for _, minute in ipairs(minutes) do
    if gone >= budget then
      break
    end
    local keys = {key(namespace, 'm:' .. minute)}
    for _, subject in ipairs(redis.call('HKEYS', keys[1])) do
      keys[#keys + 1] = key(namespace, 'p:' .. minute .. ':' .. subject)
    end
    for from = 1, #keys, 1000 do
      gone = gone + redis.call('UNLINK', unpack(keys, from, math.min(from + 999, #keys)))
    end
    redis.call('ZREM', key(namespace, 'minutes'), minute)
  end
  return gone
end

local function held_minutes(namespace, first, last)
  return redis.call('ZRANGE', key(namespace, 'minutes'), first, '(' .. last, 'BYSCORE')
end

local function floor_of(namespace)
  return tonumber(redis.call('GET', key(namespace, 'floor')))
end
