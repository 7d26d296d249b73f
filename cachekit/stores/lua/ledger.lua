-- The ledger's clock, shared by every script: joined in front of them when they are loaded.
-- KEYS[1] is the root: epoch, last, seq, gen, the run id of the server that the epoch was written on, the points of whole
-- things, and `^place` for each bucket ever written.
-- Numbers leave Lua through %.0f: tostring and .. keep 14 digits of 16.

local root = KEYS[1]
local SKEW = 1000000
local LEASE = 10000000

local function text(number)
  return string.format('%.0f', number)
end

local function time()
  local t = redis.call('TIME')
  return t[1] * 1000000 + t[2]
end

-- The name that a server has until it ends; '?' where it tells none.
local function run_id()
  local told = redis.pcall('INFO', 'server')
  return type(told) == 'string' and string.match(told, 'run_id:(%w+)') or '?'
end

-- A new epoch: every entry of the old one is stale, so all points may go.
local function begin_epoch(epoch, now)
  local kept = redis.call('HMGET', root, 'seq', 'gen', '>', 'last')
  for _, field in ipairs(redis.call('HKEYS', root)) do
    if string.sub(field, 1, 1) == '^' then
      redis.call('DEL', root .. ':' .. string.sub(field, 2))
    end
  end
  redis.call('DEL', root)
  -- a root that was lost entirely starts a new generation of the CACHES door too: nothing old may come back
  if tonumber(kept[3] or '') and tonumber(kept[3]) > (tonumber(kept[4] or '') or 0) then
    local moved = text(now + LEASE) -- commits may be under way: their intents move with the clock, and so again
    redis.call('HSET', root, '*', moved, '>', moved)
  end
  redis.call('HSET', root, 'epoch', epoch, 'last', text(now), 'seq', kept[1] or '0', 'gen', kept[2] or text(now),
    'server', run_id())
end

-- Return epoch, last and the server's time; begin an epoch where there is none or where time would stand still.
local function clock(fresh)
  local now = time()
  local state = redis.call('HMGET', root, 'epoch', 'last')
  local last = tonumber(state[2] or '')
  if not state[1] or not last or last > now + SKEW then
    begin_epoch(fresh, now)
    return fresh, now, now
  end
  return state[1], last, now
end
