-- Put the points of tags a lease into the future: a commit is about to come. Not recorded as `last`.
-- KEYS: root, events. ARGV: epoch to begin if there is none, points a bucket may hold, lease in microseconds,
-- transaction, tags as text, then pairs: place of the bucket ('' for whole things), field.
local epoch, last, now = clock(ARGV[1])
local limit, lease, transaction = tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local point = math.max(last, now) + lease

for i = 6, #ARGV, 2 do
  local place, field = ARGV[i], ARGV[i + 1]
  local key = intents_of(place, field)
  redis.call('HSET', key, transaction, text(point))
  redis.call('PEXPIRE', key, math.ceil(lease / 1000) + 2000)
  put(place, field, math.max(point, held(place, field)), math.max(last + 1, now), limit)
end

redis.call('HSET', root, '>', text(math.max(point, tonumber(redis.call('HGET', root, '>') or '') or 0)))
publish(KEYS[2], epoch, point, 'intent', ARGV[5], 'commit', transaction)
return text(point)
