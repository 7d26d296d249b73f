-- Give birth again to buckets that were evicted, or hold what is no number: what they knew counts as invalidated now.
-- KEYS: root. ARGV: epoch to begin if there is none, places.
local _, last, now = clock(ARGV[1])
local stamp = text(math.max(last + 1, now))
redis.call('HSET', root, 'last', stamp)
for i = 2, #ARGV do
  local bucket = root .. ':' .. ARGV[i]
  if redis.call('HEXISTS', root, '^' .. ARGV[i]) == 1 then
    for _, point in ipairs(redis.call('HVALS', bucket)) do
      if not tonumber(point) then
        redis.call('DEL', bucket)
        break
      end
    end
    redis.call('HSETNX', bucket, 'f', stamp)
  end
end
return stamp
