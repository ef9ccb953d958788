"""What Redis does at one go, in Lua. Redis 5 or later, or Valkey, runs it.

Keys: the machine that leads (a text that ends by itself); the machines that may have a share (a sorted set, by when
that is over at the latest); and when one of them was last heard, or that the last one has left. Times are milliseconds
of the store's clock, and are compared with nothing else.

A Redis that is full refuses the first command of a script that may take memory, and none after one that writes. What
machines tell each other is little, and bounded: their scripts write an EXPIRE first, so that answers in the same Redis,
or whatever else fills it, neither divide the limits nor have budgets refuse.
"""

from __future__ import annotations

LATE_MS = 1000
"""Milliseconds after which what a machine has sent is no news any more: the store, or the network, stood still."""

LEFT = "left"

TICK = f"""
local name, report, channel = ARGV[1], ARGV[2], ARGV[3]
local leads, lease, expected = ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6])
local remember, channel_to = tonumber(ARGV[7]), ARGV[8]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if expected > 0 and now - expected > {LATE_MS} then
  return {{now}}
end
local heard = redis.call('GET', KEYS[3])
redis.call('PEXPIRE', KEYS[2], 86400000)
redis.call('SET', KEYS[3], now, 'PX', 86400000)
redis.call('ZADD', KEYS[2], now + lease, name)
redis.call('PEXPIRE', KEYS[2], 86400000)
local leader = redis.call('GET', KEYS[1])
local took, fresh, others = 0, 0, {{}}
if not leader then
  redis.call('SET', KEYS[1], name, 'PX', leads)
  leader, took = name, 1
  redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now - remember)
  local known = redis.call('ZRANGE', KEYS[2], 0, -1, 'WITHSCORES')
  for i = 1, #known, 2 do
    -- One that was not heard for longer than its lease may be cut off, and go on without.
    if tonumber(known[i + 1]) > now or redis.call('PUBSUB', 'NUMSUB', channel_to .. known[i])[2] > 0 then
      table.insert(others, known[i])
    end
  end
  local server = redis.pcall('INFO', 'server')
  local up = type(server) == 'string' and tonumber(string.match(server, 'uptime_in_seconds:(%d+)')) or 0
  -- Machines that could not be heard go on without leases, and are not among the others.
  if not heard or (heard ~= '{LEFT}' and now - heard > lease) or up * 1000 <= lease + 1000 then
    fresh = 1
  end
elseif leader == name then
  redis.call('PEXPIRE', KEYS[1], leads)
end
redis.call('PUBLISH', channel, report)
return {{now, leader, took, fresh, others}}
"""
"""A machine says how it is. Whoever finds that none leads begins to.

Keys: those above. Arguments: its name; its report, and the channel for it; milliseconds for which it leads, and those
of a lease; the time that the machine expects on the store's clock, or 0 where it does not know it yet; milliseconds
after its lease for which a machine that still hears is taken to be there; and what channels to machines begin with.
"""

SEND = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
for i = 2, #ARGV, 2 do
  redis.call('PUBLISH', ARGV[i], ARGV[i + 1])
end
return 1
"""
"""The machine that leads sends grants. Key: the first. Arguments: its name; then a channel and a message, each."""

LEAVE = f"""
redis.call('ZREM', KEYS[2], ARGV[1])
if redis.call('EXISTS', KEYS[2]) == 0 then
  redis.call('SET', KEYS[3], '{LEFT}', 'PX', 86400000)
end
if redis.call('GET', KEYS[1]) == ARGV[1] then
  redis.call('DEL', KEYS[1])
end
redis.call('PUBLISH', ARGV[3], ARGV[2])
return 1
"""
"""A machine says goodbye. Keys: those above. Arguments: its name; the message, and the channel for it."""
