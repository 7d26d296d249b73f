-- Tell that values of the CACHES door were written: mirrors hear of it, and nothing else is judged by it, so no point stays.
-- KEYS: root, events. ARGV: epoch to begin if there is none, why, by, tags as text, then pairs: kind ('w' a whole thing, 'd'
-- a digest), field.
local epoch, last, now = clock(ARGV[1])
local point = math.max(last + 1, now)

for i = 5, #ARGV, 2 do
  note(ARGV[i], ARGV[i + 1], point)
end

redis.call('HSET', root, 'last', text(point))
publish(KEYS[2], epoch, point, 'settled', ARGV[4], ARGV[2], ARGV[3])
return text(point)
