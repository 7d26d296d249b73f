-- Leave a relay's heartbeat with the server's time, and forget those that are a day old. KEYS: heartbeats. ARGV: name, what it says.
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local known = redis.call('HGETALL', KEYS[1])
for i = 1, #known, 2 do
  if now - (tonumber(string.match(known[i + 1], '^%d+')) or 0) > 86400000000 then
    redis.call('HDEL', KEYS[1], known[i])
  end
end
redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f', now) .. ' ' .. ARGV[2])
return 1
