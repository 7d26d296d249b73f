-- Attest that this server has been told of every write in the outboxes: it is the one that the ledger was written on, and
-- knows every round. Joined behind the clock. KEYS: root, attestation, marks. ARGV: lifetime in ms, then the round of each.
local server = run_id()
if redis.call('HGET', root, 'server') ~= server then
  return 0
end
for i = 3, #KEYS do
  local told = tonumber(redis.call('HGET', KEYS[i], 'told') or '')
  if not told or told < tonumber(ARGV[i - 1]) then
    return 0
  end
end
redis.call('SET', KEYS[2], server, 'PX', ARGV[1])
return 1
