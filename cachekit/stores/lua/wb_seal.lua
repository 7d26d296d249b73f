-- Take up to ARGV[2] increments out of the pending hash KEYS[1] into the batch KEYS[2], whose id ARGV[1] joins the set KEYS[3].
-- Answers how many were taken.
local waiting = redis.call("HLEN", KEYS[1])
if waiting == 0 then
  return 0
end
redis.call("SADD", KEYS[3], ARGV[1])
local limit = tonumber(ARGV[2])
if waiting <= limit then
  redis.call("RENAME", KEYS[1], KEYS[2])
  return waiting
end
local taken = redis.call("HRANDFIELD", KEYS[1], limit, "WITHVALUES")
local fields = {}
for place = 1, #taken, 2 do
  fields[#fields + 1] = taken[place]
end
redis.call("HSET", KEYS[2], unpack(taken))
redis.call("HDEL", KEYS[1], unpack(fields))
return #fields
