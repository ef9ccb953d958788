"""How machines tell in Redis what they have spent of budgets, and hear what all have, at one go, in Lua.

Keys: what tells one life of the store from another, who has told all in it, and the number of the newest change (a
hash); of each span what all have spent, by row, and what each has and when it has told that, by the name of its file
and row (a hash, so that a Redis that evicts keys takes either both or none); the rows that have changed, and what of
each machine has, by the number of the change (sorted sets).

What a machine has told is told for it by those that have heard it, where the store has lost it and the machine tells
nothing any more. What it tells itself takes the place of that, so that nothing is counted twice.
"""

from __future__ import annotations

from skyproxy.access.budgets.rows import RowKey

KEEP_SECONDS = {"hour": 86_400, "day": 3 * 86_400, "month": 70 * 86_400, "all": 400 * 86_400}
"""For which sums are kept after they have changed. That is longer than any machine tells them."""

SHARE = """
local prefix, name, epoch, seen, most = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[6])
local seen_by, most_by, own, all = ARGV[7], tonumber(ARGV[8]), 10 + 5 * tonumber(ARGV[9]), ARGV[10]
local head, of, fresh = prefix .. 'budgets', prefix .. 'budgets:of:', 0
local changes, by = prefix .. 'budgets:changes', prefix .. 'budgets:by'
-- Also in a Redis that is full: see the scripts of shares.
redis.call('EXPIRE', head, 34560000)
local server = redis.pcall('INFO', 'server')
local run = type(server) == 'string' and string.match(server, 'run_id:(%x+)') or ''
local current, number = redis.call('HGET', head, 'epoch'), tonumber(redis.call('HGET', head, 'changes') or '0')
local function begin()
  redis.call('HSET', head, 'changes', string.format('%.0f', number))
  redis.call('HSET', head, 'epoch', ARGV[5])
  redis.call('HSET', head, 'run', run)
  return {ARGV[5], '0', {}, '0', {}}
end
if not current or (number > 0 and redis.call('EXISTS', changes, by) < 2) then
  redis.call('DEL', changes, by)
  number = 0
  return begin()
end
if redis.call('HGET', head, 'run') ~= run then
  return begin()
end
if current ~= epoch then
  return {current, '0', {}, '0', {}}
end
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
local kept = {}
local function put(who, row, span, total, at, seconds, before)
  local sums = of .. span
  if not before then
    fresh = fresh + 1
  end
  redis.call('HSET', sums, who .. ' ' .. row, total .. ' ' .. at)
  local more = tonumber(total) - (before and tonumber(string.match(before, '^%S+')) or 0)
  redis.call('HINCRBY', sums, row, string.format('%.0f', more))
  kept[sums] = seconds
  number = number + 1
  redis.call('ZADD', changes, number, span .. ' ' .. row)
  redis.call('ZADD', by, number, span .. ' ' .. who .. ' ' .. row)
end
for i = 11, own, 5 do
  local row, span, total, seconds, there = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4]
  local before = redis.call('HGET', of .. span, name .. ' ' .. row)
  if there == 'own' and not before or there == 'sum' and not redis.call('HGET', of .. span, row) then
    return begin()
  end
  if total ~= '' then
    put(name, row, span, total, now, seconds, before)
  end
end
if all == '1' and redis.call('HGET', head, 'all of ' .. name) ~= current then
  redis.call('HSET', head, 'all of ' .. name, current)
end
local tells = {}
for i = own + 1, #ARGV, 5 do
  local row, span, told, seconds, who = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4]
  if tells[who] == nil then
    tells[who] = redis.call('HGET', head, 'all of ' .. who) == current
  end
  if not tells[who] then
    local before = redis.call('HGET', of .. span, who .. ' ' .. row)
    local total, at = string.match(told, '^(%S+) (%S+)$')
    if before and tonumber(string.match(before, '%S+$')) > tonumber(at) then
      total, at = string.match(before, '^(%S+) (%S+)$')
    end
    put(who, row, span, total, at, seconds, before)
  end
end
local function sweep(set, place)
  local at = tonumber(redis.call('HGET', head, place) or '0')
  local found = redis.call('ZRANGE', set, at, at + 2 * fresh)
  for i = 1, #found do
    local span, field = string.match(found[i], '^(%S+) (.*)$')
    if redis.call('HGET', of .. span, field) then
      at = at + 1
    else
      redis.call('ZREM', set, found[i])
    end
  end
  redis.call('HSET', head, place, #found > 0 and at or 0)
end
if fresh > 0 then
  sweep(changes, 'swept')
  sweep(by, 'swept by')
end
if next(kept) then
  redis.call('HSET', head, 'changes', string.format('%.0f', number))
end
for sums, seconds in pairs(kept) do
  redis.call('EXPIRE', sums, seconds)
end
redis.call('EXPIRE', head, 34560000)
redis.call('EXPIRE', changes, 34560000)
redis.call('EXPIRE', by, 34560000)
local function news(set, since, limit, take)
  local found = redis.call('ZRANGEBYSCORE', set, '(' .. since, '+inf', 'WITHSCORES', 'LIMIT', 0, limit)
  for i = 1, #found, 2 do
    local span, field = string.match(found[i], '^(%S+) (.*)$')
    since = found[i + 1]
    local sum = redis.call('HGET', of .. span, field)
    if sum then
      take(span, field, sum)
    else
      redis.call('ZREM', set, found[i])
    end
  end
  return since
end
local heard, heard_by = {}, {}
seen = news(changes, seen, most, function(span, row, sum)
  heard[#heard + 1] = row
  heard[#heard + 1] = sum
  heard[#heard + 1] = string.match(redis.call('HGET', of .. span, name .. ' ' .. row) or '0', '^%S+')
end)
seen_by = news(by, seen_by, most_by, function(span, field, sum)
  local who, row = string.match(field, '^(%S+) (.*)$')
  if who ~= name then
    heard_by[#heard_by + 1] = who
    heard_by[#heard_by + 1] = row
    heard_by[#heard_by + 1] = sum
  end
end)
return {current, seen, heard, seen_by, heard_by}
"""
"""Arguments: the prefix of keys; the name of the file; the epoch that it knows, and the number of the newest change
that it has heard; another epoch, for a store that has none of this run, or has lost what it was told; how many changes
are told; the number of the newest change by name that it has heard, and how many of those are told; how many sums of
its own it tells, and whether (1) these are all that are left; then of each of those: its row, its span, the sum (empty:
the row is only looked for), seconds for which it is kept, and which of it must be there: the "sum" of all, or its
"own". Then likewise of what others have told before: the sum with the time at which it was told, and the name of the
file in place of the last.
"""


def row_of(key: RowKey) -> str:
    """What *key* is called in the store."""
    return f"{key.per} {key.start} {key.currency} {key.account}"


def key_of(row: str) -> RowKey:
    """The key of what is called so."""
    per, start, currency, account = row.split(" ", 3)
    return RowKey(account, per, int(start), currency)
