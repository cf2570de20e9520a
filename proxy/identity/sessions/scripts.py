"""What a Redis server does in one step: Lua, each script whole or not at all.

Keys: `s:ID` a session, `h:DIGEST` a handle, `sh:ID` the handles of a session, `who:…` the sessions of a subject or of a
provider's session, `end:…` what a provider has ended, `all` sessions by their last use, `changes` and `count` what has
changed. They are made here of a prefix, so that the server must be one, and no cluster.
"""

from __future__ import annotations

from typing import Final

_CHANGES: Final = 10_000  # that are kept

_OPENING: Final = f"""
local P = KEYS[1]
local function call(...) return redis.call(...) end
local function note(id)
  local n = call('INCR', P .. 'count')
  call('ZADD', P .. 'changes', n, n .. ' ' .. id)
  call('ZREMRANGEBYRANK', P .. 'changes', 0, -{_CHANGES + 1})
end
local function lasts(key, ms)
  local left = call('PEXPIRETIME', key)
  if left < tonumber(ms) then call('PEXPIREAT', key, ms) end
end
local function is_live(id)
  local found = call('HMGET', P .. 's:' .. id, 'body', 'ended_at')
  return found[1] and not found[2]
end
local function index(id, before, names, ms)
  for name in string.gmatch(before or '', '%S+') do call('SREM', P .. 'who:' .. name, id) end
  for name in string.gmatch(names, '%S+') do
    call('SADD', P .. 'who:' .. name, id)
    lasts(P .. 'who:' .. name, ms)
  end
end
local function keep_handle(digest, id, host, created_at, device)
  local ms = call('HGET', P .. 's:' .. id, 'ms')
  if not ms then return end
  call('HSET', P .. 'h:' .. digest, 'id', id, 'host', host, 'created_at', created_at, 'device', device)
  call('PEXPIREAT', P .. 'h:' .. digest, ms)
  call('SADD', P .. 'sh:' .. id, digest)
  call('PEXPIREAT', P .. 'sh:' .. id, ms)
end
local function drop_handles(id)
  for _, digest in ipairs(call('SMEMBERS', P .. 'sh:' .. id)) do call('DEL', P .. 'h:' .. digest) end
  call('DEL', P .. 'sh:' .. id)
end
local function finish(id, now, reason)
  if not is_live(id) then return false end
  local key = P .. 's:' .. id
  index(id, call('HGET', key, 'names'), '', 0)
  call('HSET', key, 'ended_at', now, 'reason', reason, 'body', '')
  call('ZREM', P .. 'all', id)
  drop_handles(id)
  note(id)
  return true
end
"""

# begun_at, id, body, seen_at, source, version, ms, names, endings (of a subject, then of a provider's session), handle
CREATE: Final = (
    _OPENING
    + """
local at = call('GET', P .. 'end:' .. ARGV[9])
if at and tonumber(at) >= tonumber(ARGV[1]) then return 0 end
if call('EXISTS', P .. 'end:' .. ARGV[10], P .. 'end:' .. ARGV[11]) > 0 then return 0 end
local id, key = ARGV[2], P .. 's:' .. ARGV[2]
call('HSET', key, 'body', ARGV[3], 'seen_at', ARGV[4], 'source', ARGV[5], 'version', ARGV[6], 'ms', ARGV[7],
  'names', ARGV[8])
call('PEXPIREAT', key, ARGV[7])
call('ZADD', P .. 'all', ARGV[4], id)
index(id, '', ARGV[8], ARGV[7])
keep_handle(ARGV[12], id, ARGV[13], ARGV[14], ARGV[15])
return 1
"""
)

# digest, id, host, created_at, device
ADD_HANDLE: Final = (
    _OPENING
    + """
if not is_live(ARGV[2]) then return 0 end
keep_handle(ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5])
return 1
"""
)

# old digest, then as above
REPLACE_HANDLE: Final = (
    _OPENING
    + """
local id = ARGV[3]
if call('HGET', P .. 'h:' .. ARGV[1], 'id') ~= id or not is_live(id) then return 0 end
call('DEL', P .. 'h:' .. ARGV[1])
call('SREM', P .. 'sh:' .. id, ARGV[1])
keep_handle(ARGV[2], id, ARGV[4], ARGV[5], ARGV[6])
note(id)
return 1
"""
)

# digest
DROP_HANDLE: Final = (
    _OPENING
    + """
local id = call('HGET', P .. 'h:' .. ARGV[1], 'id')
if not id then return 0 end
call('DEL', P .. 'h:' .. ARGV[1])
call('SREM', P .. 'sh:' .. id, ARGV[1])
note(id)
return 1
"""
)

# digest
FIND: Final = (
    _OPENING
    + """
local handle = call('HMGET', P .. 'h:' .. ARGV[1], 'id', 'host', 'created_at', 'device')
if not handle[1] or not is_live(handle[1]) then return false end
return {handle, call('HMGET', P .. 's:' .. handle[1], 'body', 'seen_at', 'source', 'version')}
"""
)

# id, seen_at, source; three for each
TOUCH: Final = (
    _OPENING
    + """
for i = 1, #ARGV, 3 do
  local key = P .. 's:' .. ARGV[i]
  if is_live(ARGV[i]) then
    if tonumber(call('HGET', key, 'seen_at')) < tonumber(ARGV[i + 1]) then
      call('HSET', key, 'seen_at', ARGV[i + 1])
      call('ZADD', P .. 'all', ARGV[i + 1], ARGV[i])
    end
    call('HSET', key, 'source', ARGV[i + 2])
  end
end
return 1
"""
)

# id, body, version expected, ms, names
UPDATE: Final = (
    _OPENING
    + """
local id, key = ARGV[1], P .. 's:' .. ARGV[1]
if not is_live(id) or call('HGET', key, 'version') ~= ARGV[3] then return 0 end
index(id, call('HGET', key, 'names'), ARGV[5], ARGV[4])
call('HINCRBY', key, 'version', 1)
call('HSET', key, 'body', ARGV[2], 'ms', ARGV[4], 'names', ARGV[5])
call('PEXPIREAT', key, ARGV[4])
call('PEXPIREAT', P .. 'sh:' .. id, ARGV[4])
for _, digest in ipairs(call('SMEMBERS', P .. 'sh:' .. id)) do call('PEXPIREAT', P .. 'h:' .. digest, ARGV[4]) end
note(id)
return 1
"""
)

# id, now, reason
END: Final = _OPENING + "return finish(ARGV[1], ARGV[2], ARGV[3]) and 1 or 0"

# ending, ms until which it is remembered, now, reason
END_MATCHING: Final = (
    _OPENING
    + """
call('SET', P .. 'end:' .. ARGV[1], ARGV[3], 'PXAT', ARGV[2])
local ended = {}
for _, id in ipairs(call('SMEMBERS', P .. 'who:' .. ARGV[1])) do
  if finish(id, ARGV[3], ARGV[4]) then ended[#ended + 1] = id end
end
return ended
"""
)

# name, owner, milliseconds
LEASE: Final = (
    _OPENING
    + """
local owner = call('GET', P .. 'lease:' .. ARGV[1])
if owner and owner ~= ARGV[2] then return 0 end
call('SET', P .. 'lease:' .. ARGV[1], ARGV[2], 'PX', ARGV[3])
return 1
"""
)

# name, owner
RELEASE: Final = (
    _OPENING
    + """
if call('GET', P .. 'lease:' .. ARGV[1]) == ARGV[2] then call('DEL', P .. 'lease:' .. ARGV[1]) end
return 1
"""
)

# the last number that is known, or -1; a fresh epoch
CHANGES: Final = (
    _OPENING
    + """
call('SET', P .. 'epoch', ARGV[2], 'NX')
local last = tonumber(call('GET', P .. 'count') or '0')
local known = tonumber(ARGV[1])
if known < 0 or known >= last then return {call('GET', P .. 'epoch'), last, {}} end
return {call('GET', P .. 'epoch'), last, call('ZRANGEBYSCORE', P .. 'changes', known + 1, '+inf')}
"""
)

# name, digest, groups, created_at, expires_at, used_at, now
ADD_TOKEN: Final = (
    _OPENING
    + """
local key = P .. 'token:' .. ARGV[1]
local before = call('HMGET', key, 'digest', 'expires_at')
if before[1] then
  if tonumber(before[2]) > tonumber(ARGV[7]) then return 0 end
  call('DEL', P .. 'token-of:' .. before[1])
end
call('DEL', key)
call('HSET', key, 'name', ARGV[1], 'digest', ARGV[2], 'groups', ARGV[3], 'created_at', ARGV[4],
  'expires_at', ARGV[5], 'used_at', ARGV[6])
call('SET', P .. 'token-of:' .. ARGV[2], ARGV[1])
call('SADD', P .. 'tokens', ARGV[1])
return 1
"""
)

# name
REVOKE_TOKEN: Final = (
    _OPENING
    + """
local key = P .. 'token:' .. ARGV[1]
local digest = call('HGET', key, 'digest')
if not digest then return 0 end
call('DEL', key, P .. 'token-of:' .. digest)
call('SREM', P .. 'tokens', ARGV[1])
note('service:' .. ARGV[1])
return 1
"""
)

# name, used_at
TOUCH_TOKEN: Final = (
    _OPENING
    + """
local used = call('HGET', P .. 'token:' .. ARGV[1], 'used_at')
if used and (used == '' or tonumber(used) < tonumber(ARGV[2])) then
  call('HSET', P .. 'token:' .. ARGV[1], 'used_at', ARGV[2])
end
return 1
"""
)

# now in ms, seen_before
SWEEP: Final = (
    _OPENING
    + """
local function forget(id)
  index(id, call('HGET', P .. 's:' .. id, 'names'), '', 0)
  call('DEL', P .. 's:' .. id)
  call('ZREM', P .. 'all', id)
  drop_handles(id)
  note(id)
end
for _, id in ipairs(call('ZRANGEBYSCORE', P .. 'all', '-inf', '(' .. ARGV[2])) do forget(id) end
for _, id in ipairs(call('ZRANGE', P .. 'all', 0, -1)) do
  local ms = call('HGET', P .. 's:' .. id, 'ms')
  if not ms or tonumber(ms) <= tonumber(ARGV[1]) then forget(id) end
end
return 1
"""
)
