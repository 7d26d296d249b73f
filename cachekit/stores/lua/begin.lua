-- Take a read point, recorded so that no later invalidation can stand before it; and the lease on a key, if wanted.
-- KEYS: root, lease, wish. ARGV: epoch to begin if there is none, token ('' wants no lease), lease in ms.
local epoch, last, now = clock(ARGV[1])
local point = math.max(last, now)
redis.call('HSET', root, 'last', text(point))
if ARGV[2] == '' then
  return {epoch, text(point), '', ''}
end
local holder = redis.call('GET', KEYS[2])
if holder then
  redis.call('SET', KEYS[3] .. holder, '1', 'PX', 60000)
  return {epoch, text(point), '', holder}
end
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
return {epoch, text(point), ARGV[2], ''}
