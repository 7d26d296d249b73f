-- Read a mark of relaying, and whether the ledger was written on this very server. Joined behind the clock. KEYS: root, mark.
local mark = redis.call('HMGET', KEYS[2], 'database', 'told', 'done')
return {mark[1], mark[2], mark[3], redis.call('HGET', root, 'server'), run_id()}
