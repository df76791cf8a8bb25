-- SPDX-License-Identifier: Apache-2.0
--
-- Checks a token bucket of several rates on one key, and charges all of them if there is room in each.
-- The arithmetic is "Token bucket" in libcore/algorithm/spec.md; several.lua reads the same state.
--
-- KEYS[1]  the state, little-endian doubles: for each rate the microsecond at which its bucket is full
--          again; and the time, which means nothing: so what is kept is what is answered
-- ARGV[1]  little-endian doubles: the cost in ticks by each rate (0: only asks); each rate's capacity
--          in ticks; and where a tick is not a microsecond, how many of each rate pass, in how many
--          microseconds, and a 0
-- ARGV[2]  the time in microseconds, for tests; absent: the server's clock
--
-- Returns  little-endian doubles: for each rate the microsecond at which it is full; and the time, below
--          0 if denied

local call, key, plan, now, option = redis.call, KEYS[1], ARGV[1], ARGV[2], 'PXAT'
if now then
  now, option = now + 0, 'PX'
else
  local time = call('TIME')
  now = time[1] * 1000000 + time[2]
end

local rates = #plan / 16
local ticks = rates % 1 > 0
if ticks then
  rates = (#plan - 8) / 32
end
local one, two, longer = '<dddd', '<dddddddd', '<ddddd' -- making them costs: two and four rates are usual
if rates == 2 then
  one, two, longer = '<dd', '<dddd', '<ddd'
elseif rates ~= 4 then
  one = '<' .. string.rep('d', rates)
  two, longer = one .. string.rep('d', rates), one .. 'd'
end
local want = {struct.unpack(ticks and two .. string.rep('d', 2 * rates) or two, plan)}
local state, full = call('GET', key), nil
if not state or #state < rates * 8 then
  state = string.rep('\0', rates * 8)
end

-- As if all were charged; where one has no room, once more with nothing charged.
local allowed, charges, clamped, latest = true, want[1] > 0, nil, nil
repeat
  local last = not allowed
  full, latest = {struct.unpack(one, state)}, 0
  for i = 1, rates do
    local at, start, num, den = full[i], now, nil, nil
    if ticks then
      num, den = want[2 * rates + i], want[3 * rates + i]
      local rest = now % den
      start = (now - rest) / den * num + math.floor(rest * num / den)
      rest = at % den
      at = (at - rest) / den * num + math.floor(rest * num / den)
    end
    local most = start + want[rates + i]
    if at < start then
      at = start
    elseif not (at <= most) then -- also what is no number
      at, clamped = most, clamped or {}
      clamped[i] = true
    end
    at = at + want[i]
    if at > most then
      allowed = false
      for j = 1, rates do
        want[j] = 0
      end
      break
    end
    if at == start then
      at = 0
    elseif ticks then
      local rest = at % num
      at = (at - rest) / num * den + math.ceil(rest * den / num)
    end
    if at > latest then
      latest = at
    end
    full[i] = at
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
