-- SPDX-License-Identifier: Apache-2.0
--
-- Checks a sliding window of one rate, and counts in it if there is room.
-- The arithmetic is "Sliding window" in libcore/algorithm/spec.md.
--
-- KEYS[1]  the state: three big-endian 32-bit numbers, the second at which the window ends, its
--          count, and the count of the window before
-- ARGV[1]  four little-endian doubles: the cost (0 only asks), the quota, the window in seconds,
--          and the step in microseconds
-- ARGV[2]  the time in microseconds, for tests; absent: the server's clock
--
-- Returns  the count (if denied, minus that minus 1), the count of the window before, and what is
--          left of the window in microseconds

local call, argv, key = redis.call, ARGV, KEYS[1]
local cost, quota, window, step = struct.unpack('<dddd', argv[1])
local now, us, option, base = argv[2], 0, 'PXAT', 0
if now then
  us = now % 1000000
  now = (now - us) / 1000000
  option, base = 'PX', now - 3600 -- real time must not expire a test's state
else
  local time = call('TIME')
  now, us = time[1] + 0, time[2]
end

local start = now - now % window
local finish = start + window
local state = call('GET', key)
local ends, count, before = 0, 0, 0
if state then
  ends, count, before = struct.unpack('>I4I4I4', state)
  if ends <= start then
    before = ends + window > start and count or 0
    count = 0
  end
end

local left = (finish - now) * 1000000 - us
local steps = math.floor(window * 1000000 / step)
local weight = math.ceil(left / step)
if weight > steps then
  weight = steps
end
local allowed = count + cost + math.ceil(before * weight / steps) <= quota
if allowed and cost > 0 then
  count = count + cost
end
if cost > 0 and allowed and ends == finish and count > cost then
  -- Counted in this window before, so the key's expiry is that of this state already.
  call('SET', key, struct.pack('>I4I4I4', finish, count, before), 'KEEPTTL')
elseif cost > 0 and (allowed or ends > finish) then
  call('SET', key, struct.pack('>I4I4I4', finish, count, before),
    option, string.format('%d000', finish + window - base))
end
return {allowed and count or -count - 1, before, left}
