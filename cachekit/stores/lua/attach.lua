-- Begin an epoch where the ledger was written on another server: this one was restarted, restored or promoted, and may
-- have missed invalidations. Whoever comes second finds it done. KEYS: root, events. ARGV: epoch to begin.
local written = redis.call('HGET', root, 'server')
if written ~= run_id() then
  local now = time()
  begin_epoch(ARGV[1], now)
  if written then
    publish(KEYS[2], ARGV[1], now, 'epoch', '*', 'another server', '')
  end
end
return 1
