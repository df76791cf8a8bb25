-- SPDX-License-Identifier: Apache-2.0
--
-- Checks a token bucket of several rates on one key, and charges all of them if there is room in each.
-- The arithmetic is "Token bucket" in libcore/algorithm/spec.md; several.lua reads the same state.
--
-- KEYS[1]  the state, little-endian doubles: each rate's as in token-bucket.lua, or 0; and the time, which
--          means nothing: so what is kept is what is answered
-- ARGV[1]  little-endian doubles: the cost in ticks by each rate (0: only asks); each rate's capacity
--          in ticks; each rate's 2^-level; where a tick is not a microsecond, how many of each rate pass,
--          in how many microseconds; the ticks in each rate's unit; and a 0 where a tick is no microsecond
-- ARGV[2]  the time in microseconds, for tests; absent: the server's clock
--
-- Returns  little-endian doubles: each rate's state, and the time, below 0 if denied

local call, key, plan, now, option = redis.call, KEYS[1], ARGV[1], ARGV[2], 'PXAT'
if now then
  now, option = now + 0, 'PX'
else
  local time = call('TIME')
  now = time[1] * 1000000 + time[2]
end

local rates = #plan / 32
local ticks = rates % 1 > 0
if ticks then
  rates = (#plan - 8) / 48
end
local one, three, longer = '<dddd', '<dddddddddddd', '<ddddd' -- making them costs: two and four are usual
if rates == 2 then
  one, three, longer = '<dd', '<dddddd', '<ddd'
elseif rates ~= 4 then
  one = '<' .. string.rep('d', rates)
  three, longer = '<' .. string.rep('d', 3 * rates), one .. 'd'
end
local want = {struct.unpack(ticks and three .. string.rep('d', 2 * rates) or three, plan)}
local state, full = call('GET', key), nil
if not state or #state < rates * 8 then
  state = string.rep('\0', rates * 8)
end

-- As if all were charged; where one has no room, once more with nothing charged.
local allowed, charges, scales, clamped, latest = true, want[1] > 0, 2 * rates, nil, nil
repeat
  local last = not allowed
  full, latest = {struct.unpack(one, state)}, 0
  for i = 1, rates do
    local cost, scale = want[i], want[i + scales]
    local us, start, num, den, stays = full[i] * scale - 4503599627370496, now, nil, nil, nil
    local at = us
    if ticks then
      num, den = want[3 * rates + i], want[4 * rates + i]
      local rest = now % den
      start = (now - rest) / den * num + math.floor(rest * num / den)
      rest = at % den
      at = (at - rest) / den * num + math.floor(rest * num / den)
    end
    local most = start + want[rates + i]
    if at >= start and at <= most then -- the usual case first
    elseif us < 0 or us >= 4503599627370496 then -- none, or another rate's: see token-bucket.lua
      local mantissas = '100104108111114120125129134139144150157164172180185190195200208216225232240250259' ..
          '268278288300314329344360375387400416432450465480500504521539557576600628657688720750756778' ..
          '800831864900924949974'
      local part, level = math.frexp(full[i])
      local ahead = part * 9007199254740992 - 4503599627370496 - now
      level, at = level - 53, start
      if level >= 0 and ahead > 0 then
        local j = level % 64
        local m, power = string.sub(mantissas, j * 3 + 1, j * 3 + 3) + 0, (level - j) / 64 - 2
        local parts = power < 0 and ahead * 10 ^ -power or math.ceil(ahead / 10 ^ power)
        if cost == 0 then
          local _, above = math.frexp(scale)
          above, stays = 2 - above, now + ahead
          if charges and level > above then
            j = above % 64
            power = (above - j) / 64 - 2
            local wait = math.min(math.ceil(parts / m), 1000000000) *
                string.sub(mantissas, j * 3 + 1, j * 3 + 3)
            wait = power < 0 and math.ceil(wait / 10 ^ -power) or wait * 10 ^ power
            if wait < ahead then
              stays, clamped = now + wait, clamped or {}
              clamped[i], full[i] = true, (now + wait + 4503599627370496) * 2 ^ above
            end
          end
        else
          local unit = struct.unpack('<d', plan, ((ticks and 5 or 3) * rates + i) * 8 - 7)
          local rest = parts % m
          at = start + (parts - rest) / m * unit + rest * math.floor(unit / m) +
              math.ceil(rest * (unit % m) / m)
        end
      end
    elseif at < start then
      at = start
    else -- also what is no number
      at, clamped = most, clamped or {}
      clamped[i] = true
    end
    at = at + cost
    if at > most then
      allowed = false
      for j = 1, rates do
        want[j] = 0
      end
      break
    end
    if stays then
      at = stays
    elseif at == start then
      at, full[i] = 0, 0
    else
      if ticks then
        local rest = at % num
        at = (at - rest) / num * den + math.ceil(rest * den / num)
      end
      full[i] = (at + 4503599627370496) / scale
    end
    if at > latest then
      latest = at
    end
  end
until allowed or last

full[rates + 1] = allowed and now or -now
local told = struct.pack(longer, unpack(full, 1, rates + 1))
if clamped and not allowed then -- what is not clamped stays as it was
  local kept = {struct.unpack(one, state)}
  for i in pairs(clamped) do
    kept[i] = full[i]
  end
  state = struct.pack(one, unpack(kept, 1, rates))
else
  state = told
end
if charges and (allowed or clamped) then
  -- Until the millisecond after the last is full. Real time must not expire a test's state.
  call('SET', key, state, option,
       option == 'PX' and '3600000000' or string.format('%d', latest / 1000 + 1))
end
return told
