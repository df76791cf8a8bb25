-- SPDX-License-Identifier: Apache-2.0
--
-- Checks a token bucket of several rates on one key, and charges all of them if there is room in each.
-- The arithmetic is "Token bucket" in libcore/algorithm/spec.md; several.lua reads the same state.
--
-- KEYS[1]  the state, little-endian doubles: the levels; for each rate the microsecond at which its
--          bucket is full again; and the time, which means nothing: so what is kept is what is answered.
--          The levels are two 32-bit numbers, each of three rates, the first in the lowest ten bits; and
--          2^62, which makes a plain double of them
-- ARGV[1]  little-endian doubles: the levels; the cost in ticks by each rate (0: only asks); each rate's
--          capacity in ticks; where a tick is not a microsecond, how many of each rate pass, in how
--          many microseconds; the ticks in each rate's unit; and a NUL where a tick is no microsecond
-- ARGV[2]  the time in microseconds, for tests; absent: the server's clock
--
-- Returns  the state, its time below 0 if denied

local call, read, argv, key = redis.call, struct.unpack, ARGV, KEYS[1]
local plan, now, option = argv[1], argv[2], 'PXAT'
if now then
  now, option = now + 0, 'PX'
else
  local time = call('TIME')
  now = time[1] * 1000000 + time[2]
end

local rates, one, two, longer, ticks = 4, '<ddddd', '<ddddddddd', '<dddddd', nil
if #plan == 56 then
  rates, one, two, longer = 2, '<ddd', '<ddddd', '<dddd'
elseif #plan ~= 104 then -- making the formats costs: two and four are usual
  rates = (#plan - 8) / 24
  ticks = rates % 1 > 0
  rates = ticks and (#plan - 9) / 40 or rates
  local each = string.rep('d', rates)
  one, longer = '<d' .. each, '<dd' .. each
  two = one .. each .. (ticks and each .. each or '')
end
local want, state = {read(two, plan)}, call('GET', key)
if not state or #state <= rates * 8 then
  state = string.sub(plan, 1, 8) .. string.rep('\0', rates * 8)
end
local full, last = {read(one, state)}, rates + 1

-- Each bucket's `full` becomes so many ticks from now.
local others, half
if full[1] ~= want[1] or ticks then
  local mantissas = '100104108111114120125129134139144150157164172180185190195200208216225232240250259' ..
      '268278288300314329344360375387400416432450465480500504521539557576600628657688720750756778' ..
      '800831864900924949974'
  local function decimals(level) -- a mantissa and a power of ten, in microseconds
    local i = level % 64
    return string.sub(mantissas, i * 3 + 1, i * 3 + 3) + 0, (level - i) / 64 - 2
  end
  local own = {read('<I4I4', plan)}
  full[1] = want[1]
  others, half = {}, {read('<I4I4', state)}
  for i = 2, last do
    local h, place = i > 4 and 2 or 1, 1024 ^ ((i - 2) % 3)
    local level, above = math.floor(half[h] / place) % 1024, math.floor(own[h] / place) % 1024 + 1
    local ahead = full[i] - now
    if level == above - 1 then
      if ticks then
        local num, den = want[2 * rates + i], want[3 * rates + i]
        local start, at = now % den, full[i] % den
        full[i] = now + (full[i] - at - now + start) / den * num + math.floor(at * num / den) -
            math.floor(start * num / den)
      end
    elseif level < 960 and ahead > 0 and full[i] < 4503599627370496 then
      -- Another rate's, of a policy that has changed under its name: see token-bucket.lua.
      local unit = read('<d', plan, ((ticks and 4 or 2) * rates + i) * 8 - 7)
      local m, power = decimals(level)
      local parts = power < 0 and ahead * 10 ^ -power or math.ceil(ahead / 10 ^ power)
      local rest = parts % m
      full[i] = now + (parts - rest) / m * unit + rest * math.floor(unit / m) + math.ceil(rest * (unit % m) / m)
      others[i] = false
      local wait = math.min(math.ceil(parts / m), 1000000000)
      m, power = decimals(above)
      wait = power < 0 and math.ceil(wait * m / 10 ^ -power) or wait * m * 10 ^ power
      if want[2] > 0 and level > above and wait < ahead then -- a denial has this rate's pace from now on
        others[i], half[h] = now + wait, half[h] + (above - level) * place
      end
    else
      full[i] = 0
    end
  end
end

local latest, denied, clamped = 0, nil, nil
for i = 2, last do
  local at = full[i]
  if at < now then
    at = now
  end
  at = at + want[i]
  if not (at <= now + want[rates + i]) then -- also what is no number
    denied = true
    if not (at - want[i] <= now + want[rates + i]) then
      clamped = clamped or {}
      clamped[i] = true
    end
    at = now + want[rates + i]
  end
  full[i] = at
  if at > latest then
    latest = at
  end
end
if ticks then
  latest = 0
  for i = 2, last do
    local num, den = want[2 * rates + i], want[3 * rates + i]
    local start = now % den
    local at = (now - start) / den * num + math.floor(start * num / den) + full[i] - now
    local rest = at % num
    full[i] = (at - rest) / num * den + math.ceil(rest * den / num)
    latest = math.max(latest, full[i])
  end
end

if denied or want[2] == 0 then -- what is not clamped, and what stays another rate's, stays as it was
  local asks, write = want[2] == 0, false
  if clamped or others then
    local kept = {read(one, state)}
    latest = 0
    for i = 2, last do
      local lifted = others and others[i]
      if lifted or lifted == nil and clamped and clamped[i] then
        kept[i], write = lifted or full[i], not asks
      end
      latest = math.max(latest, kept[i])
    end
    state = struct.pack(one, unpack(kept, 1, last))
    if others then
      state = struct.pack('<I4I4', half[1], half[2]) .. string.sub(state, 9)
    end
  end
  state = string.sub(state, 1, last * 8) .. struct.pack('<d', asks and now or -now)
  if not write then
    return state
  end
else
  full[rates + 2] = now
  state = struct.pack(longer, unpack(full))
end
-- Until the millisecond after the last is full. Real time must not expire a test's state.
call('SET', key, state, option,
     option == 'PX' and '3600000000' or string.format('%d', latest / 1000 + 1))
return state
