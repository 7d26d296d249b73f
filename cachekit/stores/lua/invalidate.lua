-- Give tags a new invalidation point, after every read point handed out so far.
-- KEYS: root, events. ARGV: epoch to begin if there is none, points a bucket may hold, why, by, tags as text,
-- then pairs: place of the bucket ('' for whole things), field.
local epoch, last, now = clock(ARGV[1])
local limit = tonumber(ARGV[2])
local point = math.max(last + 1, now)
local stamp = text(point)

-- Fold the older half of a bucket into its floor: a few extra misses, never a stale hit.
local function fold(bucket)
  local all = redis.call('HGETALL', bucket)
  local points = {}
  local floor = 0
  for i = 1, #all, 2 do
    if all[i] == 'f' then
      floor = tonumber(all[i + 1])
    else
      points[#points + 1] = {all[i], tonumber(all[i + 1])}
    end
  end
  table.sort(points, function(a, b) return a[2] < b[2] end)
  local half = math.floor(#points / 2)
  for i = 1, half do
    redis.call('HDEL', bucket, points[i][1])
    floor = math.max(floor, points[i][2])
  end
  redis.call('HSET', bucket, 'f', text(floor))
end

for i = 6, #ARGV, 2 do
  local place, field = ARGV[i], ARGV[i + 1]
  if place == '' then
    redis.call('HSET', root, field, stamp)
  else
    local bucket = root .. ':' .. place
    if redis.call('HSETNX', root, '^' .. place, '1') == 1 then
      redis.call('HSET', bucket, 'f', '0')
    elseif redis.call('EXISTS', bucket) == 0 then
      redis.call('HSET', bucket, 'f', stamp) -- it was evicted: what it knew counts as invalidated now
    end
    redis.call('HSET', bucket, field, stamp)
    if redis.call('HLEN', bucket) > limit then
      fold(bucket)
    end
  end
end

local seq = redis.call('HINCRBY', root, 'seq', 1)
redis.call('HSET', root, 'last', stamp)
redis.call('XADD', KEYS[2], 'MAXLEN', '~', 1000, '*',
  'seq', text(seq), 'epoch', epoch, 'point', stamp, 'tags', ARGV[5], 'why', ARGV[3], 'by', ARGV[4])
redis.call('PUBLISH', KEYS[2], text(seq) .. ' ' .. epoch .. ' ' .. stamp .. ' ' .. ARGV[5])
return stamp
