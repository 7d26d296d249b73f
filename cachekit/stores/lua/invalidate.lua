-- Give tags a new invalidation point, after every read point handed out so far; a transaction's own intents end.
-- KEYS: root, events, perhaps a note for the relay that the database's transaction is settled.
-- ARGV: epoch to begin if there is none, points a bucket may hold, why, by, tags as text, transaction ('' without
-- intents), then pairs: place of the bucket ('' for whole things), field.
local epoch, last, now = clock(ARGV[1])
local limit, transaction = tonumber(ARGV[2]), ARGV[6]
local point = math.max(last + 1, now)

for i = 7, #ARGV, 2 do
  local place, field = ARGV[i], ARGV[i + 1]
  local greatest, standing = point, held(place, field)
  if standing > point then -- somebody's commit is under way, or was ours
    local key = intents_of(place, field)
    local known = transaction ~= '' and redis.call('HDEL', key, transaction) == 1
    local others = 0
    for _, other in ipairs(redis.call('HVALS', key)) do
      others = math.max(others, tonumber(other))
    end
    -- where the intents were lost nobody knows whose the point is: it passes by itself
    greatest = (known or others > 0) and math.max(point, others) or standing
  end
  put(place, field, greatest, math.max(last + 1, now), limit)
end

redis.call('HSET', root, 'last', text(point))
if KEYS[3] then
  redis.call('SET', KEYS[3], '1', 'PX', 60000)
end
publish(KEYS[2], epoch, point, 'settled', ARGV[5], ARGV[3], ARGV[4])
return text(point)
