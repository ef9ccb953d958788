"""What Redis does at one go with answers that are kept, in Lua. Redis 5 or later, or Valkey, runs it.

All keys begin with :data:`PREFIX`. An entry is a text: :data:`MARK`, the generation, and a packed answer; Redis itself
ends it. Beside the entries there are the generation, which a purge changes; which entries there are, in the order of
their last use, and in that of their end (sorted sets); and what each costs, with the sum under the empty name (a hash).
"""

from __future__ import annotations

PREFIX = "skyproxy:{answers}:1:"
"""Of all keys, with the version of what stands in them."""

MARK = b"skyproxy answer 1\n"
"""With which entries begin, so that nothing else is taken for one."""

GENERATION_BYTES = 16

_FIND = """
local generation = redis.pcall('GET', KEYS[2])
if type(generation) ~= 'string' then
  return false
end
local head = ARGV[2] .. generation
if redis.pcall('GETRANGE', KEYS[1], 0, #head - 1) ~= head then
  return false
end
local size, left = redis.call('STRLEN', KEYS[1]) - #head, redis.call('PTTL', KEYS[1])
if size > tonumber(ARGV[3]) or left <= 0 then
  return false
end
local time = redis.call('TIME')
redis.pcall('ZADD', KEYS[3], 'XX', time[1] * 1000000 + time[2], ARGV[1])
return {redis.call('GETRANGE', KEYS[1], #head, -1), left}
"""

FIND = _FIND
"""Finds an entry, and says that it was used. Keys: the entry, the generation, the order of use. Arguments: the name of
the entry, :data:`MARK`, the most bytes of it.
"""

_HOLDER = """
local held = redis.pcall('GET', lock)
local holder, since
if type(held) == 'string' then
  holder, since = string.match(held, '^(%x+):(%d+)$')
end
"""

CLAIM = f"""
local function find()
{_FIND}
end
local found = find()
if found then
  return found
end
local lock = KEYS[4]
{_HOLDER}
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if holder and holder ~= ARGV[4] then
  return {{holder, now - tonumber(since), 0}}
end
redis.call('SET', lock, ARGV[4] .. ':' .. string.format('%.0f', now), 'PX', ARGV[5])
return false
"""
"""Finds an entry, or claims it; otherwise tells who has claimed it, and since how many milliseconds. Keys: those of
:data:`FIND`, and the claim. Arguments: those, a token, and the milliseconds for which it holds.
"""

RENEW = f"""
local lock = KEYS[1]
{_HOLDER}
return holder == ARGV[1] and redis.call('PEXPIRE', lock, ARGV[2]) or 0
"""
"""Renews a claim. Key: the claim. Arguments: the token, and milliseconds."""

RELEASE = f"""
local lock = KEYS[1]
{_HOLDER}
return holder == ARGV[1] and redis.call('UNLINK', lock) or 0
"""
"""Gives a claim up. Key: the claim. Argument: the token."""

_TIDY = """
local function drop(name)
  local cost = redis.call('HGET', sizes, name)
  redis.call('ZREM', use, name)
  redis.call('ZREM', ends, name)
  redis.call('HDEL', sizes, name)
  if cost then
    redis.call('HINCRBY', sizes, '', -cost)
  end
end
local function count(command, key)
  local found = redis.pcall(command, key)
  return type(found) == 'number' and found or -1
end
local entries = count('ZCARD', use)
-- Redis may have evicted one of these, or somebody else has written there: what is not listed any more ends by itself.
local costs = entries > 0 and entries + 1 or 0
if entries < 0 or count('ZCARD', ends) ~= entries or count('HLEN', sizes) ~= costs then
  redis.call('UNLINK', use, ends, sizes)
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for _, name in ipairs(redis.call('ZRANGEBYSCORE', ends, '-inf', now, 'LIMIT', 0, 1000)) do
  drop(name)
end
if redis.call('ZCARD', use) == 0 then
  redis.call('UNLINK', sizes)
end
"""

CHECK = f"""
local use, ends, sizes = KEYS[1], KEYS[2], KEYS[3]
{_TIDY}
return {{redis.call('ZCARD', use), tonumber(redis.call('HGET', sizes, '') or 0)}}
"""
"""Counts what there is. Keys: the order of use, that of ends, the costs."""

KEEP = f"""
local entry, generations, use, ends, sizes = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local name, mark, packed, fresh, prefix = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[8]
local lives, cost, most = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
-- A Redis that is full refuses this; once a script has written anything, it would refuse nothing.
redis.call('SET', entry, mark, 'PX', lives)
{_TIDY}
local generation = redis.pcall('GET', generations)
if type(generation) ~= 'string' or #generation ~= #fresh then
  generation = fresh
  redis.call('SET', generations, fresh)
end
drop(name)
local total, evicted = tonumber(redis.call('HGET', sizes, '') or 0), 0
while total + cost > most do
  local oldest = redis.call('ZRANGE', use, 0, 0)[1]
  if not oldest then
    break
  end
  redis.call('UNLINK', prefix .. oldest)
  drop(oldest)
  evicted = evicted + 1
  total = tonumber(redis.call('HGET', sizes, '') or 0)
end
redis.call('SET', entry, mark .. generation .. packed, 'PX', lives)
redis.call('ZADD', use, time[1] * 1000000 + time[2], name)
redis.call('ZADD', ends, now + lives, name)
redis.call('HSET', sizes, name, cost)
redis.call('HINCRBY', sizes, '', cost)
return {{redis.call('ZCARD', use), tonumber(redis.call('HGET', sizes, '')), evicted}}
"""
"""Keeps an entry. Keys: the entry, the generation, the order of use, that of ends, the costs. Arguments: the name of
the entry, :data:`MARK`, the packed answer, a generation if there is none, the milliseconds for which it is kept, what
it costs, what all may cost, and what comes before the names of entries.
"""

FORGET = """
redis.call('UNLINK', KEYS[1], KEYS[2], KEYS[3], KEYS[4])
return redis.call('SET', KEYS[5], '1', 'NX', 'PX', 10000) and 1 or 0
"""
"""Has nothing found any more. Keys: the generation, the order of use, that of ends, the costs; and what says that
somebody is sweeping. Returns 1 to whom shall.
"""

SWEEP = """
local generation, gone = redis.pcall('GET', KEYS[1]), 0
local valid = type(generation) == 'string' and ARGV[1] .. generation or ''
for i = 2, #KEYS do
  local head = redis.pcall('GETRANGE', KEYS[i], 0, #ARGV[1] + tonumber(ARGV[2]) - 1)
  if type(head) == 'string' and string.sub(head, 1, #ARGV[1]) == ARGV[1] and head ~= valid then
    redis.call('UNLINK', KEYS[i])
    gone = gone + 1
  end
end
return gone
"""
"""Deletes entries that were forgotten. Keys: the generation; and those of entries. Arguments: :data:`MARK`, and the
length of a generation.
"""
