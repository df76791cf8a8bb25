-- SPDX-License-Identifier: Apache-2.0
--
-- Decides several limits, or stacks of rates, together: all are charged or none. Also the only
-- script that charges without asking, that gives back, and that takes a charge back.
-- The arithmetic is libcore/algorithm/spec.md. The state of a limit with a single rate is that of
-- the script for one limit; a stack's is its rates' states one behind the other, a window as
-- big-endian 32-bit numbers: end, count, and for a sliding window the count before. Behind a stack of
-- buckets may stand what token-bucket-stack.lua leaves.
--
-- KEYS[i]  the state of limit i; no key stands twice
-- ARGV[1]  little-endian doubles: 0 to check, 1 to charge, 2 to give back, or 3 to take back; where
--          windows are the calendar's, that plus 4, and the seconds from which and before which they
--          are all known; to take back, the microsecond at which a check has charged this; then for
--          each limit 1 token bucket, 2 fixed window or 3 sliding window, how many rates, and for
--          each rate the four numbers of that algorithm's own script, six for a calendar's window and for a
--          token bucket, a microsecond too being 1 and 1
-- ARGV[2]  the time in microseconds, for tests; absent: the server's clock
--
-- Returns  1 if allowed, else 0; the time in microseconds; then for each rate, as it now is, the
--          microsecond at which the bucket is full (where it stays another rate's, its state), or the
--          second at which the window ends and its count, and for a sliding window the count before.
--          Where the windows are not known for the time: the time alone, and nothing was done.

local call, keys, plan, unpack, pack = redis.call, KEYS, ARGV[1], struct.unpack, struct.pack
local now, option, base = ARGV[2], 'PXAT', 0
if now then
  now, option, base = now + 0, 'PX', now - 3600000000 -- real time must not expire a test's state
else
  local time = call('TIME')
  now = time[1] * 1000000 + time[2]
end
local now_s = math.floor(now / 1000000)

local op, at = unpack('<d', plan)
local charged
if op >= 4 then
  local from, to
  op = op - 4
  from, to, at = unpack('<dd', plan, at)
  if now_s < from or now_s >= to then
    return {now}
  end
end
if op == 3 then
  charged, at = unpack('<d', plan, at)
end
local allowed, reply, told = true, {1, now}, 2
local refused -- the limits that have no room themselves
local open -- looks at a limit and all after it

-- What is kept of the limit that is being charged: its state, when that means nothing any more, and
-- whether it is to be written.
local kept, latest, dirty

local function decimals(level) -- a mantissa and a power of ten, in microseconds
  local i = level % 64
  return string.sub('100104108111114120125129134139144150157164172180185190195200208216225232240250259268' ..
      '278288300314329344360375387400416432450465480500504521539557576600628657688720750756778800' ..
      '831864900924949974', i * 3 + 1, i * 3 + 3) + 0, (level - i) / 64 - 2
end

-- Reads a bucket's state that another rate has left, as token-bucket.lua does; nil where it is full.
local function read(word)
  local part, level = math.frexp(word)
  local other = {word = word, level = level - 53}
  other.ahead = part * 9007199254740992 - 4503599627370496 - now
  if level < 53 or other.ahead <= 0 then
    return nil
  end
  local power
  other.m, power = decimals(other.level)
  other.parts = power < 0 and other.ahead * 10 ^ -power or math.ceil(other.ahead / 10 ^ power)
  other.power = power
  return other
end

-- Looks at rate j of limit i and at all after it. Only then is it known whether all fit; so each is
-- charged on the way back, and what it was looked at with needs no table.
local function decide(i, j, rates, kind, state)
  local cost, most, a, b, here = nil, nil, nil, nil, told
  local scale, unit, other
  if kind == 1 then
    cost, most, scale, unit, a, b, at = unpack('<dddddd', plan, at)
  else
    cost, most, a, b, at = unpack('<dddd', plan, at)
  end

  -- `value` is counted, `bottom` where an empty one stands, `room` what fits.
  local value, bottom, room, finish, before, clamped = 0, 0, most, nil, nil, nil
  if kind == 1 then
    bottom = now
    if state and #state >= j * 8 then
      local word = unpack('<d', state, j * 8 - 7)
      value = word * scale - 4503599627370496
      if value < 0 or value >= 4503599627370496 then
        value, other = 0, read(word)
      end
    end
    if a ~= b then
      local rest = now % b
      bottom = (now - rest) / b * a + math.floor(rest * a / b)
      rest = value % b
      value = (value - rest) / b * a + math.floor(rest * a / b)
    end
    clamped = value > bottom + most
    if clamped then
      value = bottom + most
    elseif value < bottom then
      value = bottom
    end
    if other then
      local rest = other.parts % other.m
      value = bottom + (other.parts - rest) / other.m * unit + rest * math.floor(unit / other.m) +
          math.ceil(rest * (unit % other.m) / other.m)
    end
    room = bottom + most - value
    if other and charged then
      cost = 0
    elseif charged then -- no more than the refill since cannot have given back already
      local start = charged
      if a ~= b then
        local rest = start % b
        start = (start - rest) / b * a + math.floor(rest * a / b)
      end
      cost = (clamped or charged > now) and 0 or math.max(cost - (bottom - start), 0)
    end
    reply[here + 1] = 0
    told = here + 1
  else
    local start, stop = now_s - now_s % a, 0
    finish = start + a
    if kind == 3 then
      before = 0
      if state and #state >= j * 12 then
        stop, value, before = unpack('>I4I4I4', state, j * 12 - 11)
      end
      if stop <= start then
        before, value = stop + a > start and value or 0, 0
      end
      local steps = math.floor(a * 1000000 / b)
      local weight = math.min(math.ceil((finish * 1000000 - now) / b), steps)
      room = most - math.ceil(before * weight / steps)
    else
      if b > 0 then -- the calendar's: from a to b, or the one before or after
        local first, last
        first, last, at = unpack('<dd', plan, at)
        start, finish = a, b
        if now_s < a then
          start, finish = first, a
        elseif now_s >= b then
          start, finish = b, last
        end
      end
      if state and rates > 1 then
        if #state >= j * 8 then
          stop, value = unpack('>I4I4', state, j * 8 - 7)
        end
      elseif state then
        stop = state % 1000000000
        value = (state - stop) / 1000000000
        if value > 9000000 then -- past 2^53 the number is not exact, its digits are
          value, stop = tonumber(string.sub(state, 1, -10)), tonumber(string.sub(state, -9))
        end
        stop = (stop - now_s) % 1000000000
        stop = stop < 500000000 and now_s + stop or 0
      end
      if stop <= now_s then
        value = 0
      end
    end
    clamped = stop > finish
    room = room - value
    if charged and (charged > now or charged < start * 1000000 or stop ~= finish) then
      cost = 0 -- it was another window
    end
    reply[here + 1], reply[here + 2], told = 0, 0, here + 2
    if before then
      reply[here + 3], told = 0, here + 3
    end
  end
  if op == 0 and cost > 0 and cost > room then
    allowed, refused = false, refused or {}
    refused[i] = true
  end

  if j < rates then
    decide(i, j + 1, rates, kind, state)
  else
    if keys[i + 1] then
      open(i + 1)
    end
    kept, latest, dirty = '', 0, false
  end

  if other and (cost == 0 or not allowed or op == 2 or room <= 0) then -- it stays another's
    if cost == 0 then
    elseif op == 2 then
      local back = cost / unit * other.m
      back = other.power < 0 and math.floor(back / 10 ^ -other.power) or back * 10 ^ other.power
      other.ahead = other.ahead - back
      other.word = other.ahead > 0 and (now + other.ahead + 4503599627370496) * 2 ^ other.level or 0
      dirty = true
    elseif op == 1 or refused[i] then -- where this rate refills sooner, that of the level above its own
      local _, above = math.frexp(scale)
      above = 2 - above
      local m, power = decimals(above)
      local wait = math.min(math.ceil(other.parts / other.m), 1000000000) * m
      wait = power < 0 and math.ceil(wait / 10 ^ -power) or wait * 10 ^ power
      if other.level > above and wait < other.ahead then
        other.ahead, other.word = wait, (now + wait + 4503599627370496) * 2 ^ above
        clamped, dirty = true, true
      end
    end
  elseif cost > 0 and (allowed or clamped) then
    other, dirty = nil, true
    if not allowed then
      cost = 0
    elseif op >= 2 then
      value = math.max(value - cost, bottom)
    else
      value = value + math.max(math.min(cost, room), 0)
    end
  end
  local expiry, text
  if kind == 1 then
    if value == bottom then
      value = 0
    elseif a ~= b then
      local rest = value % a
      value = (value - rest) / a * b + math.ceil(rest * b / a)
    end
    expiry = value
    if other then
      expiry = other.ahead > 0 and now + other.ahead or 0
      reply[here + 1] = pack('<d', other.word)
      text = reply[here + 1]
    else
      reply[here + 1] = value
      text = pack('<d', value > 0 and (value + 4503599627370496) / scale or 0)
    end
  else
    if value > 0 then
      expiry = (before and finish + a or finish) * 1000000
    elseif before and before > 0 then
      expiry = finish * 1000000
    else
      expiry, finish = 0, 0
    end
    reply[here + 1], reply[here + 2] = finish, value
    if before then
      reply[here + 3] = before
      text = pack('>I4I4I4', finish, value, before)
    elseif rates == 1 then
      text = string.format('%d%09d', value, finish % 1000000000)
    else
      text = pack('>I4I4', finish, value)
    end
  end
  if expiry > latest then
    latest = expiry
  end
  if rates > 1 and not allowed and not clamped then -- as it was: only what lies ahead is clamped
    local size = before and 12 or 8
    if state and #state >= j * size then
      text = string.sub(state, (j - 1) * size + 1, j * size)
    end
  end
  kept = rates == 1 and text or text .. kept
  if j == 1 and dirty then
    if latest <= now then
      call('DEL', keys[i])
    else
      call('SET', keys[i], kept, option, string.format('%d', (latest - base) / 1000 + 1))
    end
  end
end

function open(i)
  local kind, rates
  kind, rates, at = unpack('<dd', plan, at)
  decide(i, 1, rates, kind, call('GET', keys[i]))
end

open(1)
reply[1] = allowed and 1 or 0
return reply
