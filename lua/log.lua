-- SPDX-License-Identifier: Apache-2.0
--
-- Checks a log of one rate, of a sliding log or of concurrency, and adds to it if there is room.
-- The arithmetic is "Logs" in libcore/algorithm/spec.md; several.lua reads and writes the same state.
--
-- KEYS[1]  the state, big-endian: the second until which, and the seconds for which, units are remembered;
--          then eight bytes a unit, the oldest first: n * 2^53 and the microsecond from which it counts. Of
--          the last one n says how many units at the end of the state are remembered: so a long log is
--          continued by an APPEND
-- ARGV[1]  three little-endian doubles: the cost (below 0: only asks about as much; 0 only asks), the quota,
--          and the window in microseconds
-- ARGV[2]  the time in microseconds, for tests; absent: the server's clock
--
-- Returns  how many units count if they were added; else that, and the microseconds until the cost fits (0
--          where it does, or never will), and until none counts any more

local call, argv, key, unpack = redis.call, ARGV, KEYS[1], struct.unpack
local cost, quota, window = unpack('<ddd', argv[1])
local now, option, base = argv[2], 'PXAT', 0
if now then
  now, option, base = now + 0, 'PX', now - 3600000000 -- real time must not expire a test's state
else
  local time = call('TIME')
  now = time[1] * 1000000 + time[2]
end

local state = call('GET', key)
local n, kept, first, newest = 0, 0, 0, 0 -- units from `kept` on are remembered, from `first` on count
local function after(floor, from) -- the first unit above floor
  local last, middle = n, from -- which the first mostly is
  while from < last do
    local high, low = unpack('>I4I4', state, middle * 8 + 9)
    if high % 2097152 * 4294967296 + low > floor then
      last = middle
    else
      from = middle + 1
    end
    middle = math.floor((from + last) / 2)
  end
  return from
end
if state and #state > 8 then
  local high, low = unpack('>I4I4', state, #state - 7)
  n = #state / 8 - 1
  newest = high % 2097152 * 4294967296 + low
  kept = n - (high - high % 2097152) / 2097152
  first = after(now - window, kept)
end

local used, beyond = n - first, nil -- `beyond` is the first whose time has not come
if newest > now then
  beyond, newest = after(now, first), now
end
local adds = cost > 0 and used + cost <= quota

if adds or beyond and cost > 0 then
  local add, head, ends = adds and cost or 0, nil, now + window
  local till, held = 0, 0
  if n > 0 then
    till, held = unpack('>I4I4', state)
    held = held * 1000000
  end
  local same = held == window and till == 0 -- as mostly
  if held <= window then
    till, held = 0, window
  else -- a policy with a longer window was here
    till = math.min(till > 0 and till * 1000000 or newest + held, now + held)
    if till > now then
      ends = math.max(ends, till)
    else
      till, held = 0, window
    end
  end
  kept = held > window and after(now - held, kept) or first
  kept = math.max(kept, n + add - 1000) -- what no more than the other policy would count
  if not same then
    head = struct.pack('>I4I4', math.ceil(till / 1000000), held / 1000000)
    same = head == string.sub(state or '', 1, 8)
  elseif kept > 0 or beyond then
    head = string.sub(state, 1, 8)
  end
  local low = now % 4294967296
  local unit = struct.pack('>I4I4', (n - kept + add) * 2097152 + (now - low) / 4294967296, low)
  local fresh = add == 1 and unit or string.rep(unit, add)
  ends = string.format('%d', (ends - base) / 1000)
  -- Seldom is more than a quarter forgotten.
  if n > 64 and not beyond and kept * 4 <= n - kept and same then
    call('APPEND', key, fresh)
    if base == 0 then
      call('PEXPIREAT', key, ends)
    end
  else
    if not head then
      head = state
    elseif beyond then
      head = head .. string.sub(state, kept * 8 + 9, beyond * 8 + 8) .. string.rep(unit, n - beyond)
    elseif n > kept then
      head = head .. string.sub(state, kept * 8 + 9)
    end
    call('SET', key, head .. fresh, option, ends)
  end
  if adds then
    return used + add
  end
end

local retry = 0
cost = math.abs(cost)
if cost > 0 and cost <= quota and used + cost > quota then
  local which = first + used + cost - quota - 1
  retry = now
  if not beyond or which < beyond then
    local high, low = unpack('>I4I4', state, which * 8 + 9)
    retry = high % 2097152 * 4294967296 + low
  end
  retry = retry + window - now
end
return {used, retry, used > 0 and newest + window - now or 0}
