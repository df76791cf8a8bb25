-- SPDX-License-Identifier: Apache-2.0
--
-- The index of bans, overrides, tiers and members, and what `ban=` counts. What it means is written
-- in libcore/store/index.h; this is how it lies in Redis.
--
-- An entry is a field of a hash. The field is its kind, "1" ban, "2" override, "3" tier or "4" member,
-- and what it is of: of a ban and an override the key's hash and the limit's name, of a tier its name,
-- ":" and the limit's, of a member the key's hash. The value is a little-endian double, the microsecond
-- at which a ban ends (else 0), a 32-bit level, and what only the client reads.
--
-- The field "" holds four doubles: the version; the oldest version that can be told the difference to
-- now; how many runs have changed something; how many bans had no room. A version is the microsecond of
-- its change, or the one after the last where that is not later: so an index that begins anew, in a
-- server without its data, does not come by the versions of the old one.
--
-- KEYS[1]  the hash of entries
-- KEYS[2]  a sorted set, by version: the fields, those of entries that were dropped too; and "=0" to
--          "=1023", which the versions of the last runs take in turn. A version that is not among those
--          is one of another past (a server that lost its last changes), or too long ago.
-- KEYS[3]  a sorted set: the fields of bans, by their end
-- KEYS[4]  a sorted set, by version: the fields of entries that were dropped, 1000 at most, for an hour
-- KEYS[5]  to put and drop a ban, and for each of the denials: what is known of the key. Its name is
--          that of KEYS[1] but for a letter, with the key's hash and the limit's name behind it. Its
--          value: a double, when the window began; two 32-bit numbers, how often it was denied since and
--          how many bans there were in a row; a double, until when those are remembered.
-- ARGV[1]  one of, numbers being little-endian,
--          "N", double, double: news since the version, which lie behind the second (at first the same)
--          "P", field with its length before it (a byte), double, I4, rest: puts the entry whose value
--          has these; of a ban the double is how long it lasts
--          "D", field: drops the entry
--          "C", and for each of KEYS[5] and on: I4 denials; I4 how many make a ban; doubles: in what
--          time, the first ban's length, the longest; the display name with its length before it: counts
-- ARGV[2]  the time in microseconds, for tests; absent: the server's clock
--
-- Returns  for "N" a string: doubles, the version, the time, how far this goes; a byte, 1 where it is all
--          there is rather than what is new, plus 2 where there is more behind; then fields, each with
--          its length before it (a byte), and behind it its value likewise (two bytes, 0: dropped)
--          for "P" 1, or 0 where there is no room; for "D" 1, or 0 where there was none; for "C" how many
--          bans had no room
--
-- Work is bounded: a page of 250 entries; 64 denials; a few ended bans a change, more than it makes.

local MOST, BANS, RUNS, DROPPED, HOUR, PAGE = 10000, 9000, 1024, 1000, 3600000000, 250
local call, keys, plan, read, pack = redis.call, KEYS, ARGV[1], struct.unpack, struct.pack
local byte, sub, format = string.byte, string.sub, string.format
local now, option, base = ARGV[2], 'PXAT', 0
if now then
  now, option, base = now + 0, 'PX', now - HOUR -- real time must not expire a test's state
else
  local time = call('TIME')
  now = time[1] * 1000000 + time[2]
end

local op = sub(plan, 1, 1)
local head = call('HGET', keys[1], '')
local version, floor, runs, dropped = 0, 0, 0, 0
if head then
  version, floor, runs, dropped = read('<dddd', head)
end

local function whole(number)
  return format('%.0f', number)
end

-- A server may evict one key and keep another. Who lacks in KEYS[2] is told to nobody new, and what lacks in
-- KEYS[3] never makes room: both are made anew from the entries, and everybody reads all. Once for each key
-- that was lost, and of MOST entries at most.
local function rebuild()
  local all, scores = call('HGETALL', keys[1]), op ~= 'N'
  for i = 1, #all, 2 do
    if all[i] ~= '' then
      local until_us = read('<d', all[i + 1])
      version = math.max(version + 1, now)
      call('ZADD', keys[2], whole(version), all[i])
      if scores and until_us > 0 then
        call('ZADD', keys[3], whole(until_us), all[i])
      end
    end
  end
  version = math.max(version + 1, now)
  floor = version
  call('ZADD', keys[2], whole(version), '=' .. whole(runs % RUNS))
  runs = runs + 1
  call('HSET', keys[1], '', pack('<dddd', version, floor, runs, dropped))
end

if head and call('ZCARD', keys[2]) == 0 then
  rebuild()
end

-- --- news ------------------------------------------------------------------------------------

if op == 'N' then
  local seen, at = read('<dd', plan, 2)
  local all = 0
  if seen == 0 or seen < floor or seen > version or
      seen < version and call('ZCOUNT', keys[2], whole(seen), whole(seen)) == 0 then
    all, at = 1, 0
  end
  if at >= version then
    return pack('<dddB', version, now, version, all)
  end
  local found = call('ZRANGEBYSCORE', keys[2], '(' .. whole(at), '+inf', 'WITHSCORES', 'LIMIT', 0, PAGE)
  local fields = {}
  for i = 1, #found, 2 do
    if byte(found[i]) ~= 61 then -- "=": a run
      fields[#fields + 1] = found[i]
    end
  end
  local more = #found == 2 * PAGE
  local told = {pack('<dddB', version, now, more and found[#found] or version, more and all + 2 or all)}
  local values = #fields > 0 and call('HMGET', keys[1], unpack(fields))
  for i = 1, #fields do
    local value = values[i] or ''
    if value ~= '' or all == 0 then
      told[#told + 1] = pack('<Bc0I2c0', #fields[i], fields[i], #value, value)
    end
  end
  return table.concat(told)
end

-- --- changes ---------------------------------------------------------------------------------

local set, order, finish = {}, {}, {} -- of HSET, and of ZADD to KEYS[2] and KEYS[3]

if not head then
  floor = now
end

local function next_version(field)
  version = math.max(version + 1, now)
  order[#order + 1] = whole(version)
  order[#order + 1] = field
end

local function put(field, value, until_us)
  set[#set + 1] = field
  set[#set + 1] = value
  next_version(field)
  if until_us > 0 then
    finish[#finish + 1] = whole(until_us)
    finish[#finish + 1] = field
  end
end

local function write_head()
  set[#set + 1] = ''
  set[#set + 1] = pack('<dddd', version, floor, runs, dropped)
  call('HSET', keys[1], unpack(set))
end

local function commit()
  next_version('=' .. whole(runs % RUNS))
  runs = runs + 1
  call('ZADD', keys[2], unpack(order))
  if #finish > 0 then
    call('ZADD', keys[3], unpack(finish))
  end
  write_head()
end

-- Forgets bans that have ended. Who was told of one knows its end, so that it is no news; who was not
-- may know a longer one that it has replaced, and is told all.
local function forget(ended)
  local versions = call('ZMSCORE', keys[2], unpack(ended))
  for i = 1, #ended do
    floor = math.max(floor, versions[i] or 0)
  end
  call('HDEL', keys[1], unpack(ended))
  call('ZREM', keys[2], unpack(ended))
  call('ZREM', keys[3], unpack(ended))
end

local function purge(most)
  local ended = call('ZRANGEBYSCORE', keys[3], '-inf', whole(now), 'LIMIT', 0, most)
  if #ended > 0 then
    forget(ended)
  end
end

local function room()
  return call('HLEN', keys[1]) - (head and 1 or 0) < MOST
end

-- As purge, for who finds no room: the ends may have been lost.
local function purge_full(most)
  purge(most)
  if not room() and call('ZCARD', keys[3]) == 0 then
    rebuild()
    purge(most)
  end
end

if op == 'P' then
  local field = read('Bc0', plan, 2)
  local until_us, level, at = read('<dI4', plan, 3 + #field)
  purge_full(16)
  if call('HEXISTS', keys[1], field) == 0 and not room() then
    return 0
  end
  if until_us > 0 then
    until_us = now + until_us
  end
  put(field, pack('<dI4', until_us, level) .. sub(plan, at), until_us)
  call('ZREM', keys[4], field)
  commit()
  return 1
end

if op == 'D' then
  local field = sub(plan, 2)
  local value = call('HGET', keys[1], field)
  if keys[5] then
    call('DEL', keys[5])
  end
  if not value then
    return 0
  end
  local until_us = read('<d', value)
  if until_us > 0 and until_us <= now then
    forget({field})
    write_head()
    return 0
  end
  call('HDEL', keys[1], field)
  call('ZREM', keys[3], field)
  next_version(field)
  call('ZADD', keys[4], whole(version), field)
  local over = call('ZCARD', keys[4]) - DROPPED
  local oldest = call('ZRANGEBYSCORE', keys[4], '-inf', '+inf', 'WITHSCORES', 'LIMIT', 0, 16)
  local forgotten = {}
  for i = 1, #oldest, 2 do
    local score = oldest[i + 1] + 0
    if i <= over * 2 or score < now - HOUR then
      forgotten[#forgotten + 1] = oldest[i]
      floor = score
    end
  end
  if #forgotten > 0 then
    call('ZREM', keys[4], unpack(forgotten))
    call('ZREM', keys[2], unpack(forgotten))
  end
  purge(16)
  commit()
  return 1
end

-- --- denials ---------------------------------------------------------------------------------

local fields, banned, states = {}, {}, {}
local skip = #keys[1] + 1
for i = 5, #keys do
  fields[i - 4] = '1' .. sub(keys[i], skip)
end
local bans = call('HMGET', keys[1], unpack(fields))
local known = call('MGET', unpack(keys, 5))
local purged, free, full, at = false, 0, 0, 2

for i = 1, #fields do
  local field, key = fields[i], keys[i + 4]
  local count, most, within, first, longest, display
  count, most, within, first, longest, display, at = read('<I4I4dddBc0', plan, at)
  if not banned[field] and not (bans[i] and read('<d', bans[i]) > now) then
    local state = states[key] or known[i]
    local began, counted, level, forgiven = now, 0, 0, 0
    if state then
      began, counted, level, forgiven = read('<dI4I4d', state)
      if began > now then -- time went backwards
        began = now
      end
      forgiven = math.min(forgiven, now + 2 * longest)
      if now >= began + within then
        began, counted = now, 0
      end
      if now >= forgiven then
        level, forgiven = 0, 0
      end
    end
    counted = math.min(counted + count, 4294967295)
    if counted >= most then
      if not purged then
        purge_full(16 + #fields)
        -- Who makes keys that are banned leaves room for what people set.
        purged, free = true, math.min(MOST - call('HLEN', keys[1]) + (head and 1 or 0),
          BANS - call('ZCARD', keys[3]))
      end
      local is_new = not bans[i] or call('HEXISTS', keys[1], field) == 0
      if is_new and free <= 0 then
        full = full + 1
      else
        local length = math.min(first * 2 ^ level, longest)
        level = math.min(level + 1, 1000)
        put(field, pack('<dI4BBB', now + length, level, 0, 0, #display) .. display, now + length)
        banned[field] = true
        began, counted, forgiven = 0, 0, now + 2 * length
        free = is_new and free - 1 or free
      end
    end
    state = pack('<dI4I4d', began, counted, level, forgiven)
    states[key] = state
    call('SET', key, state, option,
      format('%d', (math.max(began + within, forgiven) - base) / 1000 + 1))
  end
end

if #order > 0 then
  local again = {}
  for field in pairs(banned) do
    again[#again + 1] = field
  end
  call('ZREM', keys[4], unpack(again))
  dropped = dropped + full
  commit()
elseif full > 0 then
  dropped = dropped + full
  write_head()
end
return full
