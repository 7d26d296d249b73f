-- Give birth again to buckets that were evicted: what they knew counts as invalidated now.
-- KEYS: root. ARGV: epoch to begin if there is none, places.
local _, last, now = clock(ARGV[1])
local stamp = text(math.max(last + 1, now))
redis.call('HSET', root, 'last', stamp)
for i = 2, #ARGV do
  if redis.call('HEXISTS', root, '^' .. ARGV[i]) == 1 then
    redis.call('HSETNX', root .. ':' .. ARGV[i], 'f', stamp)
  end
end
return stamp
