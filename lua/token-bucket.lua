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

local call, argv, key, format = redis.call, ARGV, KEYS[1], string.format
local plan, now, option, base = argv[1], argv[2], 'PXAT', 0
local cost, capacity = struct.unpack('<dd', plan)
if now then
  now, option, base = now + 0, 'PX', now - 3600000000 -- real time must not expire a test's state
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
  call('SET', key, format('%d', full_us), option, format('%d', (full_us - base) / 1000 + 1))
end
if num then
  return {allowed and full_us or -full_us - 1, now}
end
return allowed and full - start or start - full - 1
