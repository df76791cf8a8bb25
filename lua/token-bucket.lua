-- SPDX-License-Identifier: Apache-2.0
--
-- Checks a token bucket of one rate, and charges it if there is room.
-- The arithmetic is "Token bucket" in libcore/algorithm/spec.md.
--
-- KEYS[1]  the state: the microsecond at which the bucket is full again, in decimal
-- ARGV[1]  little-endian doubles: the cost and the capacity in ticks (a cost of 0 only asks); then,
--          where a tick is not a microsecond, how many ticks pass in how many microseconds
-- ARGV[2]  the time in microseconds, for tests; absent: the server's clock
--
-- Returns  the microseconds until the bucket is full; if denied, minus that minus 1. Where a tick
--          is not a microsecond: the moment at which it is full, told apart likewise, and now.

local call, argv, key = redis.call, ARGV, KEYS[1]
local plan, now, option = argv[1], argv[2], 'PXAT'
local cost, capacity = struct.unpack('<dd', plan)
if now then
  now, option = now + 0, 'PX'
else
  local time = call('TIME')
  now = time[1] * 1000000 + time[2]
end

local full, start, num, den = (call('GET', key) or 0) + 0, now, nil, nil
if #plan > 16 then
  num, den = struct.unpack('<dd', plan, 17)
  local rest = now % den
  start = (now - rest) / den * num + math.floor(rest * num / den)
  rest = full % den
  full = (full - rest) / den * num + math.floor(rest * num / den)
end

local limit, write = start + capacity, false
if not (full <= limit) then -- also what is no number
  full, write = limit, cost > 0
elseif full < start then
  full = start
end
local allowed = full + cost <= limit
if allowed and cost > 0 then
  full, write = full + cost, true
end

local full_us = full
if num then
  local rest = full % num
  full_us = (full - rest) / num * den + math.ceil(rest * den / num)
end
if write then
  local text = string.format('%d', full_us)
  -- The millisecond that it is full in: a key expires when its millisecond is over. Real time must not
  -- expire a test's state.
  call('SET', key, text, option, option == 'PX' and '3600000000' or string.sub(text, 1, -4))
end
if num then
  return {allowed and full_us or -full_us - 1, now}
end
return allowed and full - start or start - full - 1
