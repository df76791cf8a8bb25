-- SPDX-License-Identifier: Apache-2.0
--
-- Checks a fixed window of one rate, and counts in it if there is room.
-- The arithmetic is "Fixed window" in libcore/algorithm/spec.md.
--
-- KEYS[1]  the state in decimal: the count, then in nine digits the second at which the window
--          ends, modulo 10^9 (no state lives for the 30 years that this leaves open); so counting
--          on is one INCRBY
-- ARGV[1]  four little-endian doubles: the cost (0 only asks), the quota, the window in seconds,
--          and 0
-- ARGV[2]  the time in microseconds, for tests; absent: the server's clock
--
-- Returns  count * window + left - 1, where left is what is left of the window, in microseconds,
--          and a count above the quota reads as the quota; if denied, minus that minus 1. Where
--          that may pass 2^53: the count, told apart likewise, and left.

local call, argv, key = redis.call, ARGV, KEYS[1]
local cost, quota, window = struct.unpack('<ddd', argv[1])
local now, us, option, base = argv[2], 0, 'PXAT', 0
if now then
  us = now % 1000000
  now = (now - us) / 1000000
  option, base = 'PX', now - 3600 -- real time must not expire a test's state
else
  local time = call('TIME')
  now, us = time[1] + 0, time[2]
end

local left = window - now % window
local finish = (now + left) % 1000000000
local state = call('GET', key)
local count, same, clamped = 0, false, false
if state then
  local ends = state % 1000000000
  count = (state - ends) / 1000000000
  if count > 9000000 then -- past 2^53 the number is not exact, its digits are
    count, ends = tonumber(string.sub(state, 1, -10)), tonumber(string.sub(state, -9))
  end
  same = ends == finish
  if not same then
    local ahead = (ends - now) % 1000000000
    if ahead == 0 or ahead >= 500000000 then
      count = 0
    else
      clamped = ahead > left
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
    call('SET', key, string.format('%d%09d', count, finish),
      option, string.format('%d000', now + left - base))
  elseif cost == 1 then
    call('INCRBY', key, '1000000000')
  else
    call('INCRBY', key, string.format('%d000000000', cost))
  end
end

if count > quota then
  count = quota
end
left = left * 1000000 - us
window = window * 1000000
if (quota + 1) * window < 9007199254740992 then
  count = count * window + left - 1
  return allowed and count or -count - 1
end
return {allowed and count or -count - 1, left}
