"""Redis as what passes notices on, and keeps them for machines that begin."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from math import ceil
from typing import TYPE_CHECKING, Any

from skyproxy.process.notices.notice import Notice, Subject, read_notice
from skyproxy.process.notices.outbox import State

if TYPE_CHECKING:
    from skyproxy.process.sharing.also_heard import Hearer
    from skyproxy.process.sharing.redis_store import RedisStore

MOST_KEPT = 1024
"""States in the store, and clients' keys that were revoked; those that end first are given up first."""

_LONGEST_VALUE = 4096
"""Bytes of a state that are read."""
_LONGEST_MS = 31 * 86_400_000

TELL = f"""
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
-- Also in a Redis that is full: see the scripts of shares.
redis.call('PEXPIRE', KEYS[1], {_LONGEST_MS})
for i = 3, #ARGV, 4 do
  local field, rank, ms, value = ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2]), ARGV[i + 3]
  local key, ends = KEYS[1] .. ':' .. field, string.format('%.0f', now + ms)
  local fields = string.sub(field, 1, 8) == 'revoked:' and KEYS[2] or KEYS[1]
  if rank == '' then
    rank = string.format('%020.0f', now + ms)
  end
  local known = redis.call('GET', key)
  if not known or string.match(known, '^[^ ]*') <= rank then
    if ms > 0 then
      redis.call('SET', key, rank .. ' ' .. ends .. ' ' .. value, 'PX', ms)
      redis.call('ZADD', fields, ends, field)
    elseif known then
      redis.call('DEL', key)
      redis.call('ZREM', fields, field)
    end
  end
end
if #ARGV > 2 then
  for _, fields in ipairs(KEYS) do
    redis.call('ZREMRANGEBYSCORE', fields, '-inf', now)
    for _, field in ipairs(redis.call('ZRANGE', fields, 0, -{MOST_KEPT + 1})) do
      redis.call('DEL', KEYS[1] .. ':' .. field)
      redis.call('ZREM', fields, field)
    end
    redis.call('PEXPIRE', fields, {_LONGEST_MS})
  end
end
if ARGV[2] ~= '' then
  redis.call('PUBLISH', ARGV[1], string.format('%.0f', now) .. ' ' .. ARGV[2])
end
return 1
"""
"""A machine tells something. Keys: the fields that are kept, and those of revoked keys, which must not drive out all
others (sorted sets, by when they end, in milliseconds of the store's clock); each field is a text beside the first.
Arguments: the channel; the message, if there is one, which goes out behind the time; then of each state its field, its
rank, the milliseconds for which it is kept (0: not at all), and the notice.
"""

READ = f"""
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local found = {{}}
for _, fields in ipairs(KEYS) do
  redis.call('ZREMRANGEBYSCORE', fields, '-inf', now)
  for _, field in ipairs(redis.call('ZRANGE', fields, -{MOST_KEPT}, -1)) do
    local kept = redis.pcall('GET', KEYS[1] .. ':' .. field)
    if type(kept) == 'string' and #kept <= {_LONGEST_VALUE} then
      local ends, value = string.match(kept, '^[^ ]* (%d+) (.*)$')
      if ends then
        found[#found + 1] = math.floor(tonumber(ends) - now)
        found[#found + 1] = value
      end
    end
  end
end
return found
"""
"""A machine that begins, or was cut off, reads what holds: milliseconds that are left, and the notice, of each. Keys:
as above.
"""


class KeptNotices:
    """What is kept in *store*."""

    def __init__(self, store: RedisStore) -> None:
        self._store = store
        self._channel = store.prefix + "told"
        self._keys = [self._channel, self._channel + ":revoked"]

    def listen(self, listener: Hearer) -> None:
        """Have *listener* hear what is told, from when the store is there."""
        self._store.listen(self._channel, listener)

    def tell(self, message: bytes | None, states: Sequence[State], done: Callable[[bool], object]) -> None:
        """Pass *message* on, and keep *states*; see :class:`~skyproxy.process.notices.outbox.Pass`."""
        arguments: list[Any] = [self._channel, message or b""]
        for each in states:
            arguments += [_field(each.subject), each.rank, ceil(each.seconds * 1000), each.value]
        self._store.run(TELL, self._keys, arguments, lambda _: done(True), lambda _: done(False))

    def late(self, sent: int) -> float:
        """Seconds since the store passed on what was *sent* then, in milliseconds of its clock, as far as is known."""
        return self._store.late(sent)

    def read(self, done: Callable[[list[Notice], int], object]) -> None:
        """Read what holds now.

        :param done: called with the notices, with the seconds for which they are kept yet where that is less, and with
            how many more there were that are none; not at all if it cannot be read.
        """

        def read(reply: Any) -> None:
            found = list(_notices(reply))
            notices = [each for each in found if each is not None]
            done(notices, len(found) - len(notices))

        self._store.run(READ, self._keys, [], read, lambda _: None)


def _notices(reply: Any) -> Iterator[Notice | None]:
    for left, kept in zip(reply[::2], reply[1::2], strict=True):
        notice = read_notice(kept)
        yield None if notice is None else notice._replace(seconds=min(notice.seconds, max(0, left) / 1000))


def _field(subject: Subject) -> str:
    """A short name: that of a model may be long."""
    kind, *about = subject
    return f"{kind}:{sha256(chr(0).join(about).encode()).hexdigest()[:32]}"
