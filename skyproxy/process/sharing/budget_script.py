"""How machines tell in Redis what they have spent of budgets, and hear what all have, at one go, in Lua.

Keys: what tells one life of the store from another, and the number of the newest change (a hash); of each span what all
have spent, by row, and what each has, by the name of its file and row (a hash, so that a Redis that evicts keys takes
either both or none); and the rows that have changed, by the number of the change (a sorted set).
"""

from __future__ import annotations

from skyproxy.access.budgets.rows import RowKey

KEEP_SECONDS = {"hour": 86_400, "day": 3 * 86_400, "month": 70 * 86_400, "all": 400 * 86_400}
"""For which sums are kept after they have changed. That is longer than any machine tells them."""

SHARE = """
local prefix, name, epoch, seen, most = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[6])
local head, changes, of = prefix .. 'budgets', prefix .. 'budgets:changes', prefix .. 'budgets:of:'
-- Also in a Redis that is full: see the scripts of shares.
redis.call('EXPIRE', head, 34560000)
local server = redis.pcall('INFO', 'server')
local run = type(server) == 'string' and string.match(server, 'run_id:(%x+)') or ''
local current = redis.call('HGET', head, 'epoch')
local function begin()
  redis.call('HSET', head, 'epoch', ARGV[5])
  redis.call('HSET', head, 'run', run)
  return {ARGV[5], '0', {}}
end
if not current or ((redis.call('HGET', head, 'changes') or '0') ~= '0' and redis.call('EXISTS', changes) == 0) then
  -- Numbers begin anew.
  redis.call('DEL', changes)
  redis.call('HSET', head, 'changes', '0')
  return begin()
end
if redis.call('HGET', head, 'run') ~= run then
  return begin()
end
if current ~= epoch then
  return {current, '0', {}}
end
for i = 7, #ARGV, 5 do
  local row, span, total, seconds, told = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4]
  local sums, own = of .. span, name .. ' ' .. row
  local before = redis.call('HGET', sums, own)
  if told ~= 'new' and not before then
    return begin()
  end
  if told ~= 'same' then
    redis.call('HSET', sums, own, total)
    redis.call('HINCRBY', sums, row, string.format('%.0f', tonumber(total) - tonumber(before or '0')))
    redis.call('EXPIRE', sums, seconds)
    local number = redis.call('HINCRBY', head, 'changes', 1)
    redis.call('ZADD', changes, number, span .. ' ' .. row)
  end
end
redis.call('EXPIRE', head, 34560000)
redis.call('EXPIRE', changes, 34560000)
local found = redis.call('ZRANGEBYSCORE', changes, '(' .. seen, '+inf', 'WITHSCORES', 'LIMIT', 0, most)
local heard = {}
for i = 1, #found, 2 do
  local span, row = string.match(found[i], '^(%S+) (.*)$')
  seen = found[i + 1]
  local sum = redis.call('HGET', of .. span, row)
  if sum then
    heard[#heard + 1] = row
    heard[#heard + 1] = sum
    heard[#heard + 1] = redis.call('HGET', of .. span, name .. ' ' .. row) or '0'
  else
    redis.call('ZREM', changes, found[i])
  end
end
return {current, seen, heard}
"""
"""Arguments: the prefix of keys; the name of the file; the epoch that it knows, and the number of the newest change
that it has heard; another epoch, for a store that has none of this run, or has lost what it was told; how many changes
are told; then of each sum that is told: its row, its span, the sum, seconds for which it is kept, and whether it is new
in this epoch, or "changed", or the "same" as was told before: then it is only looked for.
"""


def row_of(key: RowKey) -> str:
    """What *key* is called in the store."""
    return f"{key.per} {key.start} {key.currency} {key.account}"


def key_of(row: str) -> RowKey:
    """The key of what is called so."""
    per, start, currency, account = row.split(" ", 3)
    return RowKey(account, per, int(start), currency)
