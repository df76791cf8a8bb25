-- SPDX-License-Identifier: Apache-2.0
--
-- Checks a token bucket of one rate, and charges it if there is room.
-- The arithmetic is "Token bucket" in libcore/algorithm/spec.md.
--
-- KEYS[1]  the state, a little-endian double: 2^52 and the microsecond at which the bucket is full again,
--          times 2^level of the rate that it refills at
-- ARGV[1]  little-endian doubles: the cost and the capacity in ticks (a cost of 0 only asks); 2^-level;
--          the ticks in a unit of cost; then, where a tick is not a microsecond, how many ticks pass in how
--          many microseconds
-- ARGV[2]  the time in microseconds, for tests; absent: the server's clock
--
-- Returns  the microseconds until the bucket is full; if denied, minus that minus 1. Where a tick
--          is not a microsecond: the moment at which it is full, told apart likewise, and now. Where
--          the state stays another rate's: the state, and now.

local call, read, argv, key = redis.call, struct.unpack, ARGV, KEYS[1]
local plan, now, option = argv[1], argv[2], 'PXAT'
local cost, capacity, scale = read('<ddd', plan)
if now then
  now, option = now + 0, 'PX'
else
  local time = call('TIME')
  now = time[1] * 1000000 + time[2]
end

local state, at, start, num, den = call('GET', key), 0, now, nil, nil
if state then
  at = read('<d', state) * scale - 4503599627370496
end
local full = at
if #plan > 32 then
  num, den = read('<dd', plan, 33)
  local rest = now % den
  start = (now - rest) / den * num + math.floor(rest * num / den)
  rest = full % den
  full = (full - rest) / den * num + math.floor(rest * num / den)
end

local limit, allowed, write, clamped = start + capacity, true, cost > 0, false
if full >= start and full <= limit then -- the usual case first
elseif at < 0 or at >= 4503599627370496 then -- another rate's: what is used, in this one's ticks
  local function decimals(level) -- a mantissa and a power of ten, in microseconds
    local i = level % 64
    return string.sub('100104108111114120125129134139144150157164172180185190195200208216225232240250259268' ..
        '278288300314329344360375387400416432450465480500504521539557576600628657688720750756778800' ..
        '831864900924949974', i * 3 + 1, i * 3 + 3) + 0, (level - i) / 64 - 2
  end
  local part, level = math.frexp(read('<d', state))
  local ahead = part * 9007199254740992 - 4503599627370496 - now
  level = level - 53
  full = start
  if level >= 0 and ahead > 0 then
    local unit = read('<d', plan, 25)
    local m, power = decimals(level)
    local parts = power < 0 and ahead * 10 ^ -power or math.ceil(ahead / 10 ^ power)
    local rest = parts % m
    local used = (parts - rest) / m * unit + rest * math.floor(unit / m) + math.ceil(rest * (unit % m) / m)
    full = start + used
    if cost == 0 or used + cost > capacity then
      -- It stays another's: where this rate refills sooner, that of the level above its own.
      local _, above = math.frexp(scale)
      above = 2 - above
      if cost > 0 and level > above then
        local units = math.min(math.ceil(parts / m), 1000000000)
        m, power = decimals(above)
        local wait = units * m
        wait = power < 0 and math.ceil(wait / 10 ^ -power) or wait * 10 ^ power
        if wait < ahead then
          state = struct.pack('<d', (now + wait + 4503599627370496) * 2 ^ above)
          call('SET', key, state, option,
               option == 'PX' and '3600000000' or string.format('%d', (now + wait) / 1000))
        end
      end
      return {state, now}
    end
  end
elseif full < start then
  full = start
else -- also what is no number
  full, clamped = limit, true
end
if full + cost <= limit then
  full = full + cost
else
  allowed, write = false, clamped
end

local full_us = full
if num then
  local rest = full % num
  full_us = (full - rest) / num * den + math.ceil(rest * den / num)
end
if write then
  -- The millisecond that it is full in: a key expires when its millisecond is over. Real time must not
  -- expire a test's state.
  call('SET', key, struct.pack('<d', (full_us + 4503599627370496) / scale), option,
       option == 'PX' and '3600000000' or string.format('%d', full_us / 1000))
end
if num then
  return {allowed and full_us or -full_us - 1, now}
end
return allowed and full - start or start - full - 1
