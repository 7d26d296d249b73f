-- Give a lease back and wake those who wait for it. KEYS: lease, wish of this token, bell of this token. ARGV: token.
if redis.call('GET', KEYS[1]) == ARGV[1] then
  redis.call('DEL', KEYS[1])
end
if redis.call('DEL', KEYS[2]) == 1 then
  redis.call('XADD', KEYS[3], '*', 'done', '1')
  redis.call('PEXPIRE', KEYS[3], 5000)
end
return 1
