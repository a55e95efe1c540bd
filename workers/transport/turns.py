"""Turns: when one account's messages pile up in a queue, a claim takes them by account, so that another's wait for few.

A queue's list is first in, first out: an order that comes after 50,000 of another account would wait for all of them.
While the list is short it stays so. Once it is longer than ``PILE``, or its next message holds many orders, each claim
first sorts what waits into a list for each account (a lane), at a few microseconds a message, then takes from the lane
that had the least so far, in bytes: a message of 500 orders counts like as many single ones. When all lanes are empty
the list is read as before. Within an account the order stays as it was.

A lane is named ``<list>.of.<account>``; the sorted set ``invoices.turns:<list>`` has what each was given. A message
that came back from a consumer goes to the head of the list and is claimed from there, before all turns.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from redis import Redis

#: As long as no more wait, nobody waits long.
PILE = 200
#: A message of more bytes than this holds many orders.
LARGE_BYTES = 8192
#: Messages sorted by one claim: a script blocks the whole server, 1,000 take about 3 to 5 ms.
SORTED = 1000
SORTED_BYTES = 8 * 1024 * 1024
#: Messages are moved together: at most so many, and none is added once they are more bytes than this.
MOVED = 100
MOVED_BYTES = 64 * 1024
#: Messages per claim at most while more than a pile is still unsorted: what waits there may be somebody's only order.
WHILE_UNSORTED = 10
#: More lanes are not made: the messages of further accounts share one.
MAX_LANES = 1000
#: Before a list's name: the sorted set of its lanes, with the bytes that each was given.
GIVEN = "invoices.turns:"
#: How much of a message is searched for its account.
_SEARCHED_BYTES = 65536

_NAME = b'"account"'


def lanes_of(client: Redis, name: str, prefix: str = "") -> list[str]:
    """The keys of a list's lanes. ``name`` is the list's, without the global ``prefix``; keys are told with it."""
    members: list[bytes | str] = client.zrange(f"{prefix}{GIVEN}{name}", 0, -1)  # type: ignore[assignment]  # not async
    return [member.decode() if isinstance(member, bytes) else member for member in members]


def needles() -> list[tuple[int, str]]:
    """How the field's name looks in base64, at each of the three ways it can lie: (characters from the beginning of a
    group of four, text)."""
    found = []
    for shift in range(3):
        text = base64.b64encode(b"\0" * shift + _NAME).decode()
        start, end = -(-shift * 8 // 6), (shift + len(_NAME)) * 8 // 6
        found.append((start, text[start:end]))
    return found


_NEEDLES = ", ".join(f"{{{lead}, '{text}'}}" for lead, text in needles())

#: ``account(item)``: the first field of that name in a message's body, be it base64 (kombu's) or plain JSON; '' if
#: there is none, or it is written with escapes. Only who waits behind whom depends on it.
_ACCOUNT = f"""
local digits
local function decode(text)
  if not digits then
    digits = {{}}
    local all = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'
    for n = 1, 64 do digits[string.byte(all, n)] = n - 1 end
  end
  local found, n = {{}}, 0
  for place = 1, #text - 3, 4 do
    local a, b, c, d = string.byte(text, place, place + 3)
    a, b, c, d = digits[a], digits[b], digits[c], digits[d]
    if not (a and b) then break end
    local bits = a * 262144 + b * 4096 + (c or 0) * 64 + (d or 0)
    n = n + 1
    found[n] = string.char(math.floor(bits / 65536), math.floor(bits / 256) % 256, bits % 256)
  end
  return table.concat(found)
end

-- Whose name a fragment begins with. One read before is known again by its characters up to the name's end.
local names, lengths = {{}}, {{}}
local function name_at(text, group)
  for length in pairs(lengths) do
    local name = names[string.sub(text, group, group + length - 1)]
    if name then return name end
  end
  local _, ending, name = string.find(decode(string.sub(text, group, group + 127)), '"account"%s*:%s*"([^"\\\\]+)"')
  if name then
    local length = math.ceil(ending / 3) * 4
    lengths[length], names[string.sub(text, group, group + length - 1)] = true, name
  end
  return name
end

local function account(item)
  local text = #item > {_SEARCHED_BYTES} and string.sub(item, 1, {_SEARCHED_BYTES}) or item
  local _, before = string.find(text, '"body"%s*:%s*"')
  if not before then return '' end
  local first, name
  local searched = text
  for _, needle in ipairs({{{_NEEDLES}}}) do
    local at = string.find(searched, needle[2], before + 1, true)
    while at and (not first or at < first) do
      local group = at - needle[1]
      local told = (group - before - 1) % 4 == 0 and name_at(text, group)
      if told then
        first, name = at, told
        searched = string.sub(text, 1, at + #needle[2])
      end
      at = string.find(searched, needle[2], at + 1, true)
    end
  end
  if name then return name end
  -- Plain text is looked for first: a pattern takes far longer to look through a long message.
  local plain = string.find(text, '\\\\"account\\\\"', before + 1, true)
  return plain and string.match(text, '\\\\"account\\\\"%s*:%s*\\\\"([^"\\\\]+)\\\\"', plain) or ''
end
"""

#: ``came_back(item)``: it was in a consumer's hands before. ``sort(list, turns)``: puts what waits into lanes.
#: ``lane_of(turns)``: whose turn it is, and for how many bytes it stays so; nil if nothing is sorted.
#: ``had(turns, lane, bytes)``: it had its turn.
TURNS = (
    _ACCOUNT
    + f"""
local function came_back(item)
  return string.find(item, '"redelivered": true', 1, true) ~= nil
end

local function served(turns)
  return tonumber(redis.call('ZRANGE', turns, 0, 0, 'WITHSCORES')[2] or 0)
end

-- Messages go from the end of the list to the heads of their lanes, in their order.
local function move(list, runs, count)
  for lane, run in pairs(runs) do redis.call('LPUSH', lane, unpack(run)) end
  if count > 0 then redis.call('RPOP', list, count) end
end

local function sort(list, turns)
  local least, known, lanes = served(turns), {{}}, #redis.call('ZRANGE', turns, 0, -1)
  local count, bytes = 0, 0
  local runs, waiting, weight = {{}}, 0, 0
  while count < {SORTED} and bytes < {SORTED_BYTES} do
    local item = redis.call('LINDEX', list, -1 - waiting)
    if not item or came_back(item) then break end
    count, bytes = count + 1, bytes + #item
    local own = list .. '.of.' .. account(item)
    if not known[own] then
      known[own] = own
      if not redis.call('ZSCORE', turns, own) then
        if lanes >= {MAX_LANES} then known[own] = list .. '.of.' end
        redis.call('ZADD', turns, 'NX', least, known[own])
        lanes = lanes + 1
      end
    end
    local lane = known[own]
    runs[lane] = runs[lane] or {{}}
    table.insert(runs[lane], item)
    waiting, weight = waiting + 1, weight + #item
    if waiting == {MOVED} or weight > {MOVED_BYTES} then
      move(list, runs, waiting)
      runs, waiting, weight = {{}}, 0, 0
    end
  end
  move(list, runs, waiting)
end

local function lane_of(turns)
  while true do
    local lane, given, _, next_given = unpack(redis.call('ZRANGE', turns, 0, 1, 'WITHSCORES'))
    if not lane then return nil end
    if redis.call('LLEN', lane) > 0 then return lane, (tonumber(next_given) or math.huge) - tonumber(given) end
    redis.call('ZREM', turns, lane)
  end
end

local function had(turns, lane, bytes)
  redis.call('ZADD', turns, 'XX', string.format('%.0f', tonumber(redis.call('ZSCORE', turns, lane)) + bytes), lane)
end
"""
)
