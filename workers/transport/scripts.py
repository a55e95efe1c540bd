"""What the broker does in one step. Lua is not rolled back, so each script makes the safe write first.

An error half-way can leave a message twice, never nowhere. All times are the server's, so workers' clocks don't matter.
A full server (``noeviction``) refuses a script's first write if that needs memory, but no later one. So each script
begins with a removal that removes nothing, and a full queue can still be emptied.
EVAL is sent with the text each time, not EVALSHA: no script has to be loaded again after a restart or a failover.
"""

from __future__ import annotations

from workers.transport.message_limits import CLAIM_BYTES, EXCERPT_BYTES, LONELY_AFTER_DEATHS, MAX_ITEM_BYTES
from workers.transport.turns import LARGE_BYTES, PILE, TURNS, WHILE_UNSORTED

_NOW = """
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
"""

#: What replaces a list item that is too long: its length, a digest of its ends (a sender's own ids are at one of them),
#: and its beginning. The rest is dropped.
OVERSIZED = "invoices-oversized"
_SHORTEN = f"""
local function shorten(item, length)
  local digest = redis.sha1hex(string.sub(item, 1, 65536) .. string.sub(item, -65536) .. length)
  return '{OVERSIZED} ' .. length .. ' ' .. digest .. ' ' .. string.sub(item, 1, {EXCERPT_BYTES})
end
"""

#: The field, at the very beginning of a message, that says how many of its consumers died.
DEATHS = "invoices-deaths"
_SUSPECT = f'{{"{DEATHS}":'

#: KEYS: index, records, what lanes were given (``turns.py``), then lists in the order to look at them. ARGV: '' where
#: no message has to be alone, otherwise 1 while nothing is in hand and 0 while something is; the number of the list
#: that is read in turns, or 0; for each list the end of its records, or '' where nobody acknowledges; then a tag for
#: each message wanted, at most. Returns [number of its list, item, ...] for what was found, in the order of the tags;
#: [0] if the next message has to be claimed alone and can't be now; nil if all lists are empty. Items are never parsed:
#: one may be no JSON, and encoding it again would change it. One that is too long never leaves the server: it is
#: shortened first.
CLAIM = (
    _NOW
    + _SHORTEN
    + TURNS
    + f"""
local found, bytes = {{}}, 0
local tag, most = #KEYS, #ARGV
local sorted, removed = false, false

local function remove_nothing()
  if not removed then redis.call('ZREM', KEYS[1], '') end
  removed = true
end

-- Of a list that is read in turns: the next message, the list it is in, and how many bytes of that list, this message
-- included, may be taken before the turn is looked up again.
local function next_in_turn(list)
  local item = redis.call('LINDEX', list, -1)
  if item and came_back(item) then return item, list, 0 end
  local piled = item and redis.call('LLEN', list) > (#item > {LARGE_BYTES} and 1 or {PILE})
  if not sorted and (piled or lane_of(KEYS[3])) then
    sorted = true
    remove_nothing()
    sort(list, KEYS[3])
    if redis.call('LLEN', list) > {PILE} then most = math.min(most, tag + {WHILE_UNSORTED} - 1) end
    item = redis.call('LINDEX', list, -1)
    if item and came_back(item) then return item, list, 0 end
  end
  local lane, share = lane_of(KEYS[3])
  if lane then return redis.call('LINDEX', lane, -1), lane, share end
  return item, list, 0
end

-- Messages of one list that are claimed together: they are recorded first, and popped last.
local from, share, run, weight
local function begin(list, bytes_of_turn)
  from, share, run, weight = list, bytes_of_turn, {{}}, 0
end

local function take(list, ending)
  if #run == 0 then return end
  if ending ~= '' then
    local marks, records = {{}}, {{}}
    for n, item in ipairs(run) do
      local own = ARGV[tag - #run + n - 1]
      marks[2 * n - 1], marks[2 * n] = now, own
      records[2 * n - 1], records[2 * n] = own, '[' .. item .. ending
    end
    remove_nothing()
    if redis.call('ZADD', KEYS[1], 'NX', unpack(marks)) < #run then
      return redis.error_reply('ERR a tag holds a message already')
    end
    redis.call('HSET', KEYS[2], unpack(records))
  end
  if from ~= list then had(KEYS[3], from, weight) end
  redis.call('RPOP', from, #run)
  run = {{}}
end

for i = 4, #KEYS do
  local list, ending, in_turns = KEYS[i], ARGV[i - 1], tonumber(ARGV[2]) == i - 3
  begin(list, in_turns and 0 or math.huge)
  while tag <= most and bytes < {CLAIM_BYTES} do
    local item = weight < share and redis.call('LINDEX', from, -1 - #run)
    if not item and in_turns then
      local failed = take(list, ending)
      if failed then return failed end
      local source, bytes_of_turn
      item, source, bytes_of_turn = next_in_turn(list)
      begin(source, bytes_of_turn)
    end
    if not item then break end
    local lonely = ARGV[1] ~= '' and string.sub(item, 1, {len(_SUSPECT)}) == '{_SUSPECT}' and
      (tonumber(string.match(item, '^ (%d+)', {len(_SUSPECT) + 1})) or 0) >= {LONELY_AFTER_DEATHS}
    if lonely and (#found > 0 or ARGV[1] == '0') then
      return take(list, ending) or #found > 0 and found or {{0}}
    end
    local length = #item
    if length > {MAX_ITEM_BYTES} then
      item = shorten(item, length)
      bytes = bytes + length
      collectgarbage()
    end
    run[#run + 1], weight = item, weight + #item
    found[#found + 1] = i - 3
    found[#found + 1] = item
    tag, bytes = tag + 1, bytes + #item
    if lonely then return take(list, ending) or found end
  end
  local failed = take(list, ending)
  if failed then return failed end
end
return #found > 0 and found
"""
)

#: KEYS: index, records. ARGV: tags. Acknowledges: they are forgotten.
FORGET = """
redis.call('ZREM', KEYS[1], unpack(ARGV))
redis.call('HDEL', KEYS[2], unpack(ARGV))
"""

#: Shortens a record as an item is shortened: one that kombu's own transport wrote may have any length.
_FETCH = (
    _SHORTEN
    + f"""
local function fetch(records, tag)
  local length = redis.call('HSTRLEN', records, tag)
  local record = redis.call('HGET', records, tag)
  if record and length > {MAX_ITEM_BYTES + 1024} then
    local ending = string.match(string.sub(record, -512), ', "[^"]*", "[^"]*"%]$') or ''
    record = '[' .. shorten(string.sub(record, 2), length) .. ending
    collectgarbage()
    redis.call('HDEL', records, '')
    redis.call('HSET', records, tag, record)
  end
  return record
end
"""
)

#: KEYS: records. ARGV: tags. Returns the record of each, or nil; of fewer tags where that would be too many bytes.
READ = (
    _FETCH
    + f"""
local found, bytes = {{}}, 0
for i = 1, #ARGV do
  if bytes >= {CLAIM_BYTES} then break end
  found[i] = fetch(KEYS[1], ARGV[i])
  bytes = bytes + (found[i] and #found[i] or 0)
end
return found
"""
)

#: KEYS: index. ARGV: tags. Renews the leases of those that are still held.
RENEW = (
    _NOW
    + """
redis.call('ZREM', KEYS[1], '')
for i = 1, #ARGV do
  redis.call('ZADD', KEYS[1], 'XX', now, ARGV[i])
end
"""
)

#: KEYS: index, records. ARGV: seconds, limit. Returns [tag, record, ...] of what was not renewed for this long, the
#: newest first: put back at the head one by one, the oldest ends up before all others.
OVERDUE = (
    _NOW
    + _FETCH
    + f"""
local found, bytes = {{}}, 0
local tags = redis.call('ZRANGE', KEYS[1], now - tonumber(ARGV[1]), '-inf', 'BYSCORE', 'REV', 'LIMIT', 0, ARGV[2])
for _, tag in ipairs(tags) do
  if bytes >= {CLAIM_BYTES} then break end
  local record = fetch(KEYS[2], tag)
  if record then
    found[#found + 1] = tag
    found[#found + 1] = record
    bytes = bytes + #record
  else
    redis.call('ZREM', KEYS[1], tag)
  end
end
return found
"""
)

#: KEYS: index, records, then lists. ARGV: LPUSH or RPUSH; seconds ('' for at once); then tag, message and number of
#: lists for each. A message goes back only if its tag is still there (and still overdue). Returns how many went back.
PUT_BACK = (
    _NOW
    + """
local back, list = 0, 2
redis.call('ZREM', KEYS[1], '')
for i = 3, #ARGV, 3 do
  local tag, lists = ARGV[i], tonumber(ARGV[i + 2])
  local here = redis.call('HEXISTS', KEYS[2], tag) == 1
  if here and ARGV[2] ~= '' then
    local claimed = redis.call('ZSCORE', KEYS[1], tag)
    here = claimed and tonumber(claimed) <= now - tonumber(ARGV[2])
  end
  if here then
    for n = list + 1, list + lists do
      redis.call(ARGV[1], KEYS[n], ARGV[i + 1])
    end
    redis.call('HDEL', KEYS[2], tag)
    redis.call('ZREM', KEYS[1], tag)
    back = back + 1
  end
  list = list + lists
end
return back
"""
)
