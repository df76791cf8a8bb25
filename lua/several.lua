-- SPDX-License-Identifier: Apache-2.0
--
-- Decides several limits, or stacks of rates, together: all are charged or none. Also the only
-- script that charges without asking, that gives back, that grants as much as there is room for, that
-- takes a charge back, and that knows of debts.
-- The arithmetic is libcore/algorithm/spec.md. The state of a limit with a single rate is that of
-- the script for one limit; a stack's is its rates' states one behind the other, a window as
-- big-endian 32-bit numbers: end, count, and for a sliding window the count before. A stack of buckets
-- has the state of token-bucket-stack.lua; its time may be left out.
--
-- KEYS[i]  the state of limit i; no key stands twice
-- ARGV[1]  little-endian doubles: 0 to check, 1 to charge, 2 to give back, 3 to take back, or 9 to renew; where
--          windows are the calendar's, that plus 4, and the seconds from which and before which they
--          are all known; to grant, 16 or 20 as if to check; to take back, the microsecond at which a check
--          has charged this; then for each limit 1 token bucket, 2 fixed window or 3 sliding window, plus
--          8 where charges may go into debt, how many rates, and for each rate, where there is debt, the
--          capacity with it, and the four numbers of that algorithm's own script, six for a calendar's
--          window and for a token bucket, a microsecond too being 1 and 1. Or 4 sliding log or 5 concurrency,
--          how many rates, the cost (below 0: only asks), the microsecond at which what is taken back or
--          renewed was charged, and for each rate the quota, the most that a charge goes up to, and the
--          window in microseconds
-- ARGV[2]  the time in microseconds, for tests; absent: the server's clock
--
-- Returns  1 if allowed, or how many units were granted, else 0; the time in microseconds; then for each
--          rate, as it now is, the
--          microsecond at which the bucket is full (where it stays another rate's, its state), or the
--          second at which the window ends and its count, and for a sliding window the count before.
--          Of a log how many units were added; then for each rate how many count, the microseconds until
--          the cost fits (0 where it does or never will; of a check that was charged, until none would have
--          counted without it), and until none counts.
--          To charge, at last, how many units each limit has taken.
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
local charged, granting
if op >= 16 then
  op, granting = op - 16, 1000000000 -- what all have room for, of those that were looked at
end
if op % 8 >= 4 then
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
local taken = op == 1 and {} -- units, by limit
local refused -- the limits that have no room themselves
local open -- looks at a limit and all after it

-- What is kept of the limit that is being charged: its state, when that means nothing any more, and
-- whether it is to be written.
local kept, latest, dirty
local levels -- of a stack of buckets, three in each of two numbers

-- Bucket j of a stack as a single rate's state would be, and its level.
local function stacked(state, j, rates)
  if #state <= rates * 8 then
    return 0, 0
  end
  local level = unpack('<I4', state, j > 3 and 5 or 1)
  level = math.floor(level / 1024 ^ ((j - 1) % 3)) % 1024
  local full = unpack('<d', state, j * 8 + 1)
  local known = level < 960 and full > 0 and full < 4503599627370496
  return known and (full + 4503599627370496) * 2 ^ level or 0, level
end

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
local function decide(i, j, rates, kind, state, owes)
  local cost, most, a, b, here = nil, nil, nil, nil, told
  local scale, unit, other, far = nil, 1, nil, nil
  if owes then
    far, at = unpack('<d', plan, at)
  end
  if kind == 1 then
    cost, most, scale, unit, a, b, at = unpack('<dddddd', plan, at)
  else
    cost, most, a, b, at = unpack('<dddd', plan, at)
  end
  far = far or most

  -- `value` is counted, `bottom` where an empty one stands, `room` what fits.
  local value, bottom, room, finish, before, clamped = 0, 0, most, nil, nil, nil
  if kind == 1 then
    bottom = now
    if state and (rates > 1 or #state >= 8) then
      local word = rates > 1 and stacked(state, j, rates) or unpack('<d', state)
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
    clamped = value > bottom + far
    if clamped then
      value = bottom + far
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
  if granting then
    granting, cost = math.min(granting, math.floor(math.min(cost, room) / unit)), unit
  elseif taken then
    room = room + far - most
    taken[i] = math.max(taken[i] or 0, math.floor(math.min(cost, room) / unit))
  end
  if op == 0 and cost > 0 and cost > room then
    allowed, refused = false, refused or {}
    refused[i] = true
  end

  if j < rates then
    decide(i, j + 1, rates, kind, state, owes)
  else
    if keys[i + 1] then
      open(i + 1)
    end
    kept, latest, dirty, levels = '', 0, false, rates > 1 and {0, 1073741824}
  end
  if granting and allowed then
    cost = cost * granting
  end

  if other and (cost == 0 or not allowed or op == 2 or room <= 0) then -- it stays another's
    if cost == 0 then
    elseif op == 2 then
      local back = cost / unit * other.m
      back = other.power < 0 and math.floor(back / 10 ^ -other.power) or back * 10 ^ other.power
      other.ahead = other.ahead - back
      other.word = other.ahead > 0 and (now + other.ahead + 4503599627370496) * 2 ^ other.level or 0
      dirty = true
    elseif op == 1 or refused and refused[i] then
      -- Where this rate refills sooner, that of the level above its own.
      local _, above = math.frexp(scale)
      above = 2 - above
      local m, power = decimals(above)
      local wait = math.min(math.ceil(other.parts / other.m), 1000000000) * m
      wait = power < 0 and math.ceil(wait / 10 ^ -power) or wait * 10 ^ power
      if other.level > above and wait < other.ahead then
        other.ahead, other.level, other.word = wait, above, (now + wait + 4503599627370496) * 2 ^ above
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
  local expiry, text, level
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
    if rates > 1 then
      local _, own = math.frexp(scale)
      text, level = pack('<d', expiry), other and other.level or 1 - own
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
  if rates > 1 and (not allowed and not clamped or op == 3 and cost == 0) then
    -- As it was: only what lies ahead is clamped, and only what is taken back changes.
    local size, first = before and 12 or 8, kind == 1 and 8 or 0
    if state and #state >= first + j * size then
      text = string.sub(state, first + (j - 1) * size + 1, first + j * size)
      if level then
        level = select(2, stacked(state, j, rates))
      end
    end
  end
  if level then
    local half = j > 3 and 2 or 1
    levels[half] = levels[half] + level * 1024 ^ ((j - 1) % 3)
  end
  kept = rates == 1 and text or text .. kept
  if j == 1 and dirty then
    if level then
      kept = pack('<I4I4', levels[1], levels[2]) .. kept
    end
    if latest <= now then
      call('DEL', keys[i])
    else
      call('SET', keys[i], kept, option, string.format('%d', (latest - base) / 1000 + 1))
    end
  end
end

-- Looks at a log, as log.lua has it, and at all limits after it; then does with it what is to be done. Its
-- rates see one log, each through its own window.
local function log(i, rates, state)
  local cost, charged
  cost, charged, at = unpack('<dd', plan, at)
  local asks = cost <= 0
  cost = math.abs(cost)
  local wish = cost
  if granting then
    cost = 1
  end

  local text, n, kept, newest = state or '', 0, 0, 0
  local function stamp(j)
    local high, low = unpack('>I4I4', text, j * 8 + 9)
    return high % 2097152 * 4294967296 + low, (high - high % 2097152) / 2097152
  end
  local function after(floor, from) -- the first unit above floor
    local last = n
    while from < last do
      local middle = math.floor((from + last) / 2)
      if stamp(middle) > floor then
        last = middle
      else
        from = middle + 1
      end
    end
    return from
  end
  if #text > 8 then
    n = #text / 8 - 1
    newest, kept = stamp(n - 1)
    kept = n - kept
  end

  local here, capacity, window, longest = told, {}, {}, 0
  local alone, charge = true, cost
  for j = 1, rates do
    local most
    capacity[j], most, window[j], at = unpack('<ddd', plan, at)
    local used = n - after(now - window[j], kept)
    alone = alone and (cost == 0 or used + cost <= capacity[j])
    charge = math.max(math.min(charge, most - used), 0)
    if granting then
      granting = math.min(granting, wish, capacity[j] - used)
    end
    longest = math.max(longest, window[j])
  end
  told = here + 1 + 3 * rates
  for j = here + 1, told do
    reply[j] = 0
  end
  if op == 0 and not asks and not alone then
    allowed = false
  end
  if taken then
    taken[i] = charge
  end
  if keys[i + 1] then
    open(i + 1)
  end
  if granting and allowed then
    cost = granting
  end

  -- From `oldest` on units count, from `beyond` on their time has not come; from `gone` on so many as
  -- `back` are removed, and so many as `add` of now are added.
  local oldest = after(now - longest, kept)
  local beyond = newest > now and after(now, oldest) or n
  local gone, back, add, write = oldest, 0, 0, not asks
  if asks then
  elseif op == 0 then
    add = allowed and cost or 0
    write = allowed or beyond < n
  elseif op == 1 then
    add = charge
  elseif op == 2 then
    back = math.min(cost, n - oldest)
  else
    gone = after(charged - 1, oldest)
    back = math.min(after(charged, gone) - gone, cost)
    write = back > 0
    if op == 9 then
      write = back == cost
      back = write and back or 0
      add = back
    end
  end

  local before = newest
  if write then
    local ends, till, held = now + longest, 0, longest
    if n > 0 then
      till, held = unpack('>I4I4', text)
      held = held * 1000000
    end
    if held <= longest then
      till, held = 0, longest
    else -- a policy with a longer window was here
      till = math.min(till > 0 and till * 1000000 or math.min(newest, now) + held, now + held)
      if till > now then
        ends = math.max(ends, till)
      else
        till, held = 0, longest
      end
    end
    kept = held > longest and after(now - held, kept) or oldest
    kept = math.max(kept, n - back + add - 1000)
    local count, low = n - kept - back + add, now % 4294967296
    local head = pack('>I4I4', math.ceil(till / 1000000), held / 1000000)
    local unit = pack('>I4I4', count * 2097152 + (now - low) / 4294967296, low)
    if n > 64 and add > 0 and back == 0 and beyond == n and kept * 4 <= n - kept and
        head == string.sub(text, 1, 8) then
      unit = string.rep(unit, add)
      text, n = text .. unit, n + add
      call('APPEND', keys[i], unit)
      if base == 0 then
        call('PEXPIREAT', keys[i], string.format('%d', ends / 1000))
      end
    elseif count == 0 then
      text, n, kept = '', 0, 0
      call('DEL', keys[i])
    else
      -- What lies beyond now is now.
      local rest = beyond - kept - math.max(math.min(beyond - gone, back), 0)
      text = string.sub(text, kept * 8 + 9, gone * 8 + 8) .. string.sub(text, (gone + back) * 8 + 9)
      text = head .. string.sub(text, 1, rest * 8) .. string.rep(unit, count - rest)
      n, kept = count, 0
      local last, told_n = stamp(n - 1)
      if told_n ~= n then
        low = last % 4294967296
        text = string.sub(text, 1, -9) .. pack('>I4I4', n * 2097152 + (last - low) / 4294967296, low)
      end
      ends = math.max(last + longest, till)
      call('SET', keys[i], text, option, string.format('%d', (ends - base) / 1000))
    end
    newest = n > 0 and stamp(n - 1) or 0
  end

  reply[here + 1] = add
  for j = 1, rates do
    local first = after(now - window[j], kept)
    local used, wait = n - first, 0
    if op == 0 and add > 0 then -- what the reset was before
      wait = used > add and math.min(before, now) + window[j] - now or 0
    elseif cost > 0 and cost <= capacity[j] and used + cost > capacity[j] then
      wait = math.min(stamp(first + used + cost - capacity[j] - 1), now) + window[j] - now
    end
    reply[here + 3 * j - 1], reply[here + 3 * j] = used, wait
    reply[here + 3 * j + 1] = used > 0 and math.min(newest, now) + window[j] - now or 0
  end
end

function open(i)
  local kind, rates
  kind, rates, at = unpack('<dd', plan, at)
  if kind == 4 or kind == 5 then
    return log(i, rates, call('GET', keys[i]))
  end
  decide(i, 1, rates, kind % 8, call('GET', keys[i]), kind >= 8)
end

open(1)
reply[1] = allowed and (granting or 1) or 0
for i = 1, taken and #keys or 0 do
  reply[told + i] = taken[i]
end
return reply
