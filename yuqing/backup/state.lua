-- Copies keys out of Redis, and writes copies back. ARGV[1]: what to do, below; ARGV[2]: what every key of the installation begins with.
--
-- A copy is MessagePack: [when it was made, [[key without its beginning, kind, milliseconds left or -1, value], ..]]. The value of a string is itself, of a
-- list its elements, of a hash its fields and values in turn, of a sorted set its members and scores in turn. Times are milliseconds since 1970.
local AT_ONCE = 1000 -- arguments of one command: Lua's stack holds some thousands
local DAY_S, WEEK_S = 86400, 168 * 3600
local WEEKS_KEPT = 6 -- five weeks of hours, and the one that is not over (windows.lua)
local prefix = ARGV[2]

local function now_ms()
  local now = redis.call('TIME')
  return now[1] * 1000 + math.floor(now[2] / 1000)
end

local read = {
  string = function(key) return redis.call('GET', key) end,
  list = function(key) return redis.call('LRANGE', key, 0, -1) end,
  hash = function(key) return redis.call('HGETALL', key) end,
  zset = function(key) return redis.call('ZRANGE', key, 0, -1, 'WITHSCORES') end
}

-- Those of the keys that there are.
local function copied(keys)
  local rows = {}
  for _, key in ipairs(keys) do
    local kind = redis.call('TYPE', key).ok
    if kind ~= 'none' then
      rows[#rows + 1] = {string.sub(key, #prefix + 1), kind, redis.call('PTTL', key), read[kind](key)}
    end
  end
  return cmsgpack.pack({now_ms(), rows})
end

local function append(key, command, values, reversed)
  for start = 1, #values, AT_ONCE do
    local some = {}
    for i = start, math.min(start + AT_ONCE - 1, #values), reversed and 2 or 1 do
      some[#some + 1] = values[reversed and i + 1 or i]
      if reversed then some[#some + 1] = values[i] end
    end
    redis.call(command, key, unpack(some))
  end
end

local write = {
  string = function(key, value) redis.call('SET', key, value) end,
  list = function(key, values) append(key, 'RPUSH', values) end,
  hash = function(key, values) append(key, 'HSET', values) end,
  zset = function(key, values) append(key, 'ZADD', values, true) end
}

local steps = {}

-- KEYS: some keys
function steps.copy()
  return copied(KEYS)
end

-- KEYS[1]: what every key of a subject begins with. Its panes and what was told of them are of one instant, or they would contradict each other.
-- The fence is left out: it speaks of offsets of one Kafka; what was told does the same by the documents' ids.
function steps.copy_subject()
  local base = KEYS[1]
  local keys, days, weeks = {base .. 'quarters', base .. 'evidence'}, {}, {}
  local function weeks_until(seconds)
    for week = math.floor(seconds / WEEK_S) - WEEKS_KEPT, math.floor(seconds / WEEK_S) do weeks[week] = true end
  end
  weeks_until(now_ms() / 1000)
  for _, quarter in ipairs(redis.call('ZRANGE', base .. 'quarters', 0, -1)) do
    keys[#keys + 1] = base .. 'q:' .. quarter
    for _, what in ipairs({'stories', 'publishers', 'authors'}) do keys[#keys + 1] = base .. 'hll:' .. what .. ':' .. quarter end
    local day = math.floor(quarter / DAY_S)
    for told = day - 2, day + 1 do days[told] = true end -- the day of publication: up to 24 hours before the text counts
    weeks_until(quarter)
  end
  for day in pairs(days) do
    for part in string.gmatch('0123456789abcdef', '.') do keys[#keys + 1] = base .. 'told:' .. string.format('%d', day) .. ':' .. part end
  end
  for week in pairs(weeks) do keys[#keys + 1] = base .. 'h:' .. string.format('%d', week) end
  return copied(keys)
end

-- KEYS[1]: what every key of the deliveries begins with. All lists of them at one instant, and the ids that they hold; the deliveries come later.
function steps.copy_delivery_lists()
  local base = KEYS[1]
  local ids = redis.call('ZRANGE', base .. 'made', 0, -1)
  local names = {endpoints = true, waiting = true, kept = true, made = true}
  for _, id in ipairs(ids) do
    local held = redis.call('HMGET', base .. 'd:' .. id, 'subscription', 'line', 'outcome', 'alerts')
    if held[1] then
      names['due:' .. held[1]], names['made:' .. held[1] .. ':'] = true, true
      if held[2] ~= '' then names['line:' .. held[1] .. ':' .. held[2]] = true end
      if held[3] ~= '' then names['made::' .. held[3]], names['made:' .. held[1] .. ':' .. held[3]] = true, true end
      for alert in held[4]:gmatch('%S+') do names['about:' .. alert] = true end
    end
  end
  local keys = {}
  for name in pairs(names) do keys[#keys + 1] = base .. name end
  return {copied(keys), ids}
end

-- ARGV[3]: a copy. What has run out since is not written; returns how many keys were. What was told outlives a backup that is old by then: texts that
-- are read again from Kafka would count twice without it. What stands for erased documents is added to what is there.
function steps.write()
  local copy, now, count = cmsgpack.unpack(ARGV[3]), now_ms(), 0
  for _, row in ipairs(copy[2]) do
    local key, kind, left, value = prefix .. row[1], row[2], row[3], row[4]
    local ends = (string.find(row[1], '}:told:', 1, true) and now or copy[1]) + left
    if left < 0 or ends > now then
      if row[1] ~= 'erased' then redis.call('DEL', key) end
      write[kind](key, value)
      if left >= 0 then redis.call('PEXPIREAT', key, string.format('%d', ends)) end
      count = count + 1
    end
  end
  return count
end

return steps[ARGV[1]]()
