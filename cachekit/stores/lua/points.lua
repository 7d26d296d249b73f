-- Points of tags, settled and intended; joined behind the clock for the scripts that move them.
-- An intent lies in the future: while it stands its tags' entries are stale, and if its writer dies it passes by itself.
-- Each tag's intents stand in a hash of their own, by transaction; a bucket's field is the greatest of all points.

local function intents_of(place, field)
  return root .. '!' .. place .. ':' .. field
end

local function held(place, field)
  if place == '' then
    return tonumber(redis.call('HGET', root, field) or '') or 0
  end
  return tonumber(redis.call('HGET', root .. ':' .. place, field) or '') or 0
end

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

-- What moved, for those who follow: 'w' and the name of a whole thing or 'd' and a digest, its length in front, the point.
local moved = {}
local MOST_MOVED = 200

local function note(kind, field, point)
  local length = #field + 1
  moved[#moved + 1] = string.char(math.floor(length / 256), length % 256) .. kind .. field .. string.format('%016.0f', point)
end

local function put(place, field, point, now, limit)
  note(place == '' and 'w' or 'd', field, point)
  if place == '' then
    redis.call('HSET', root, field, text(point))
    return
  end
  local bucket = root .. ':' .. place
  if redis.call('HSETNX', root, '^' .. place, '1') == 1 then
    redis.call('HSET', bucket, 'f', '0')
  elseif redis.call('EXISTS', bucket) == 0 then
    redis.call('HSET', bucket, 'f', text(now)) -- it was evicted: what it knew counts as invalidated now
  end
  redis.call('HSET', bucket, field, text(point))
  if redis.call('HLEN', bucket) > limit then
    fold(bucket)
  end
end

-- Tell what happened: people read the stream, and mirrors follow it by `seq`. What moved too much moved altogether: '*'.
local function publish(events, epoch, point, kind, tags, why, by)
  local seq = text(redis.call('HINCRBY', root, 'seq', 1))
  redis.call('XADD', events, 'MAXLEN', '~', 1000, '*', 'seq', seq, 'epoch', epoch, 'point', text(point),
    'kind', kind, 'tags', tags, 'why', why, 'by', by, 'moved', #moved > MOST_MOVED and '*' or table.concat(moved))
end
