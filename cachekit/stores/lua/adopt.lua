-- Keep the epoch on another server, which has been told what it missed. Joined behind the clock.
-- KEYS: root. ARGV: the server that the ledger was written on.
if redis.call('HGET', root, 'server') == ARGV[1] then
  redis.call('HSET', root, 'server', run_id())
end
return 1
