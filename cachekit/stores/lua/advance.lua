-- Mark a round of relaying as told, where the mark of the round before stands: what it knew has not been lost.
-- KEYS: mark. ARGV: database, round, the round told before ('' where there was none).
local held = redis.call('HMGET', KEYS[1], 'database', 'told')
if ARGV[3] ~= '' then
  local told = tonumber(held[2] or '')
  if held[1] ~= ARGV[1] or not told or told < tonumber(ARGV[3]) then
    return 0
  end
end
redis.call('HSET', KEYS[1], 'database', ARGV[1], 'told', ARGV[2])
return 1
