-- Mark a round of relaying as told, where the mark of the round before stands: what it knew has not been lost.
-- KEYS: mark. ARGV: database, round, the round told before ('' where there was none).
-- A number that has been used already is refused: its relay died before it could commit what it had told.
local held = redis.call('HMGET', KEYS[1], 'database', 'told')
local told = tonumber(held[2] or '')
if held[1] == ARGV[1] and told and told >= tonumber(ARGV[2]) then
  return 0
end
if ARGV[3] ~= '' and (held[1] ~= ARGV[1] or not told or told < tonumber(ARGV[3])) then
  return 0
end
redis.call('HSET', KEYS[1], 'database', ARGV[1], 'told', ARGV[2])
return 1
