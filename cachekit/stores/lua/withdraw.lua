-- Take a transaction's intents back: its COMMIT was refused. What was settled before stays, at the latest now.
-- KEYS: root, events. ARGV: epoch to begin if there is none, points a bucket may hold, transaction, then pairs: place,
-- field.
local epoch, last, now = clock(ARGV[1])
local limit, transaction = tonumber(ARGV[2]), ARGV[3]
for i = 4, #ARGV, 2 do
  local place, field = ARGV[i], ARGV[i + 1]
  local key = intents_of(place, field)
  if redis.call('HDEL', key, transaction) == 1 then
    local greatest = math.max(last + 1, now)
    for _, other in ipairs(redis.call('HVALS', key)) do
      greatest = math.max(greatest, tonumber(other))
    end
    put(place, field, greatest, math.max(last + 1, now), limit)
  end
end
redis.call('HSET', root, 'last', text(math.max(last + 1, now)))
if #moved > 0 then
  publish(KEYS[2], epoch, math.max(last + 1, now), 'withdrawn', '', '', transaction)
end
return epoch
