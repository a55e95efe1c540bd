"""What the broker does in one step. Lua is not rolled back, so each script writes the safe thing first.

An error half-way can leave a message twice, never nowhere. All times are the server's, so workers' clocks don't matter.
A server that is full (``noeviction``) refuses a script's first write when it needs memory, and no later one; therefore
each script begins with a write that removes nothing: a full queue can be worked off.
EVAL is sent with the text each time, never EVALSHA: no script has to be loaded again after a restart or a failover.
"""

from __future__ import annotations

_NOW = """
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
"""

#: No further message is claimed once so many bytes are: a script holds up the whole server.
CLAIM_BYTES = 262_144

#: KEYS: index, records, then lists in the order to look at them. ARGV: for each list the end of its record, or '' where
#: nobody acknowledges; then a tag for each message that is wanted at most. Gives [number of its list, item, ...] of the
#: messages found, in the order of the tags, or nil when all lists are empty. An item is never parsed: it may be no
#: JSON, and encoding it again would change it.
CLAIM = (
    _NOW
    + f"""
local found, bytes = {{}}, 0
local tag = #KEYS - 1
for i = 3, #KEYS do
  local ending = ARGV[i - 2]
  while tag <= #ARGV and bytes < {CLAIM_BYTES} do
    local item = redis.call('LINDEX', KEYS[i], -1)
    if not item then break end
    if ending ~= '' then
      redis.call('ZREM', KEYS[1], '')
      if redis.call('ZADD', KEYS[1], 'NX', now, ARGV[tag]) == 0 then
        return redis.error_reply('ERR this tag holds a message already')
      end
      redis.call('HSET', KEYS[2], ARGV[tag], '[' .. item .. ending)
    end
    redis.call('RPOP', KEYS[i])
    found[#found + 1] = i - 2
    found[#found + 1] = item
    tag, bytes = tag + 1, bytes + #item
  end
end
return #found > 0 and found
"""
)

#: KEYS: index, records. ARGV: tags. They are forgotten: acknowledged.
FORGET = """
redis.call('ZREM', KEYS[1], unpack(ARGV))
redis.call('HDEL', KEYS[2], unpack(ARGV))
"""

#: KEYS: records. ARGV: tags. Gives the record of each, or nil.
READ = "return redis.call('HMGET', KEYS[1], unpack(ARGV))"

#: KEYS: index. ARGV: tags. Those that are still held count as claimed just now.
RENEW = (
    _NOW
    + """
redis.call('ZREM', KEYS[1], '')
for i = 1, #ARGV do
  redis.call('ZADD', KEYS[1], 'XX', now, ARGV[i])
end
"""
)

#: KEYS: index, records. ARGV: seconds, limit. Gives [tag, record, ...] of what was not renewed for so
#: long, the youngest first: put back at the head one by one, the oldest ends before all others.
OVERDUE = (
    _NOW
    + """
local found = {}
local tags = redis.call('ZRANGE', KEYS[1], now - tonumber(ARGV[1]), '-inf', 'BYSCORE', 'REV', 'LIMIT', 0, ARGV[2])
for _, tag in ipairs(tags) do
  local record = redis.call('HGET', KEYS[2], tag)
  if record then
    found[#found + 1] = tag
    found[#found + 1] = record
  else
    redis.call('ZREM', KEYS[1], tag)
  end
end
return found
"""
)

#: KEYS: index, records, then lists. ARGV: LPUSH or RPUSH, seconds ('' for at once), then (tag, message, number of
#: lists) each. A message goes back only if its tag is still there (and still overdue). Gives how many went back.
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
