-- SPDX-License-Identifier: Apache-2.0
--
-- Checks a fixed window of one rate that is one of the calendar, and counts in it if there is room.
-- The arithmetic is "Calendar windows" in libcore/algorithm/spec.md. Who calls knows the calendar,
-- and the server the time: three windows are sent, and the server's clock chooses.
--
-- KEYS[1]  the state, as fixed-window.lua keeps it
-- ARGV[1]  six little-endian doubles: the cost (0 only asks), the quota, and in seconds since 1970
--          where the window begins and ends, where the one before begins, and where the one after
--          ends
-- ARGV[2]  the time in microseconds, for tests; absent: the server's clock
--
-- Returns  the count (if denied, minus that minus 1), and the time in microseconds. Where that lies
--          in none of the windows: the time alone, and nothing was done.

local call, argv, key = redis.call, ARGV, KEYS[1]
local cost, quota, start, finish, first, last = struct.unpack('<dddddd', argv[1])
local now, us, option, base = argv[2], 0, 'PXAT', 0
if now then
  us = now % 1000000
  now = (now - us) / 1000000
  option, base = 'PX', now - 3600 -- real time must not expire a test's state
else
  local time = call('TIME')
  now, us = time[1] + 0, time[2]
end

if now < start then
  start, finish = first, start
elseif now >= finish then
  start, finish = finish, last
end
if now < start or now >= finish then
  return {now * 1000000 + us}
end

local ending = finish % 1000000000
local state = call('GET', key)
local count, same, clamped = 0, false, false
if state then
  local ends = state % 1000000000
  count = (state - ends) / 1000000000
  if count > 9000000 then -- past 2^53 the number is not exact, its digits are
    count, ends = tonumber(string.sub(state, 1, -10)), tonumber(string.sub(state, -9))
  end
  same = ends == ending
  if not same then
    local ahead = (ends - now) % 1000000000
    if ahead == 0 or ahead >= 500000000 then
      count = 0
    else
      clamped = ahead > finish - now
    end
  end
end

local allowed = count + cost <= quota
if cost > 0 and (allowed or clamped) then
  if not allowed then
    cost = 0
  end
  count = count + cost
  if not same then
    call('SET', key, string.format('%d%09d', count, ending),
      option, string.format('%d000', finish - base))
  elseif cost == 1 then
    call('INCRBY', key, '1000000000')
  else
    call('INCRBY', key, string.format('%d000000000', cost))
  end
end
return {allowed and count or -count - 1, now * 1000000 + us}
