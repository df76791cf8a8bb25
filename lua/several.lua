-- SPDX-License-Identifier: Apache-2.0
--
-- Decides several limits, or stacks of rates, together: all are charged or none. Also the only
-- script that charges without asking, and that gives back.
-- The arithmetic is libcore/algorithm/spec.md. The state of a limit with a single rate is that of
-- the script for one limit; a stack's is its rates' states one behind the other, a token bucket
-- as a little-endian double, a window as big-endian 32-bit numbers: end, count, and for a sliding
-- window the count before.
--
-- KEYS[i]  the state of limit i; no key stands twice
-- ARGV[1]  little-endian doubles: 0 to check, 1 to charge, 2 to give back; then for each limit
--          1 token bucket, 2 fixed window or 3 sliding window, how many rates, and for each rate
--          the four numbers of that algorithm's own script
-- ARGV[2]  the time in microseconds, for tests; absent: the server's clock
--
-- Returns  1 if allowed, else 0; the time in microseconds; then for each rate, as it now is, the
--          microsecond at which the bucket is full, or the second at which the window ends and
--          its count, and for a sliding window the count before

local call, unpack, pack = redis.call, struct.unpack, struct.pack
local floor, ceil, max, min = math.floor, math.ceil, math.max, math.min
local plan, now, option, base = ARGV[1], ARGV[2], 'PXAT', 0
if now then
  now, option, base = now + 0, 'PX', now - 3600000000 -- real time must not expire a test's state
else
  local time = call('TIME')
  now = time[1] * 1000000 + time[2]
end
local now_s = floor(now / 1000000)

-- First, each rate as it is now, by number: `level` is what is counted, in ticks of the token
-- bucket's absolute time or in units; `floor_of` is where an empty one stands; `room` what fits.
local op, at = unpack('<d', plan)
local allowed, n = true, 0
local kinds, last, dirty = {}, {}, {}
local costs, third, fourth, level, floor_of, room, ends, before = {}, {}, {}, {}, {}, {}, {}, {}
for i = 1, #KEYS do
  local kind, rates
  kind, rates, at = unpack('<dd', plan, at)
  local state = call('GET', KEYS[i])
  for j = 1, rates do
    local cost, most, a, b
    cost, most, a, b, at = unpack('<dddd', plan, at)
    n = n + 1
    local clamped
    if kind == 1 then
      local full, start = 0, now
      if state and rates == 1 then
        full = tonumber(state)
      elseif state and #state >= j * 8 then
        full = unpack('<d', state, j * 8 - 7)
      end
      if a ~= b then
        local rest = now % b
        start = (now - rest) / b * a + floor(rest * a / b)
        rest = full % b
        full = (full - rest) / b * a + floor(rest * a / b)
      end
      clamped = full > start + most
      full = clamped and start + most or max(full, start)
      level[n], floor_of[n], room[n] = full, start, start + most - full
    else
      local start = now_s - now_s % a
      local finish, stop, count, prior = start + a, 0, 0, 0
      if not state then
        stop = 0
      elseif kind == 3 then
        if #state >= j * 12 then
          stop, count, prior = unpack('>I4I4I4', state, j * 12 - 11)
        end
      elseif rates > 1 then
        if #state >= j * 8 then
          stop, count = unpack('>I4I4', state, j * 8 - 7)
        end
      else
        stop = state % 1000000000
        count = (state - stop) / 1000000000
        if count > 9000000 then -- past 2^53 the number is not exact, its digits are
          count, stop = tonumber(string.sub(state, 1, -10)), tonumber(string.sub(state, -9))
        end
        stop = (stop - now_s) % 1000000000
        stop = stop < 500000000 and now_s + stop or 0
      end
      clamped = stop > finish
      room[n] = most
      if kind == 2 then
        count = stop > now_s and count or 0
      else
        if stop <= start then
          prior, count = stop + a > start and count or 0, 0
        end
        local steps = floor(a * 1000000 / b)
        local weight = min(ceil((finish * 1000000 - now) / b), steps)
        room[n] = most - ceil(prior * weight / steps)
        before[n] = prior
      end
      level[n], floor_of[n], ends[n], room[n] = count, 0, finish, room[n] - count
    end
    kinds[n], costs[n], third[n], fourth[n] = kind, cost, a, b
    dirty[i] = dirty[i] or clamped and cost > 0
    if op == 0 and cost > room[n] then
      allowed = false
    end
  end
  last[i] = n
end

-- Then what is kept of each, and told.
local reply, told = {allowed and 1 or 0, now}, 2
n = 0
for i = 1, #KEYS do
  local state, single, latest = '', last[i] == n + 1, 0
  for r = n + 1, last[i] do
    local kind, value, cost = kinds[r], level[r], costs[r]
    if allowed and cost > 0 then
      dirty[i] = true
      if op == 2 then
        value = max(value - cost, floor_of[r])
      else
        value = value + max(min(cost, room[r]), 0)
      end
    end
    if kind == 1 then
      if value == floor_of[r] then
        value = 0
      elseif third[r] ~= fourth[r] then
        local rest = value % third[r]
        value = (value - rest) / third[r] * fourth[r] + ceil(rest * fourth[r] / third[r])
      end
      state = single and string.format('%d', value) or state .. pack('<d', value)
      latest = max(latest, value)
      told = told + 1
      reply[told] = value
    else
      local stop, prior = ends[r], before[r]
      local idle = value == 0 and (prior or 0) == 0
      latest = max(latest, idle and 0
        or (prior and value > 0 and stop + third[r] or stop) * 1000000)
      stop = idle and 0 or stop
      if prior then
        state = state .. pack('>I4I4I4', stop, value, prior)
      elseif single then
        state = string.format('%d%09d', value, stop % 1000000000)
      else
        state = state .. pack('>I4I4', stop, value)
      end
      reply[told + 1], reply[told + 2], reply[told + 3] = stop, value, prior
      told = told + (prior and 3 or 2)
    end
  end
  n = last[i]
  if dirty[i] and latest <= now then
    call('DEL', KEYS[i])
  elseif dirty[i] then
    call('SET', KEYS[i], state, option, string.format('%d', (latest - base) / 1000 + 1))
  end
end
return reply
