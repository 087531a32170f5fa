-- Deliveries in Redis. KEYS[1]: what every key of them begins with (names.py says what is behind it); ARGV[1]: what to do, below.
-- Times are milliseconds since 1970, given, never read. Each call leaves all sets in agreement.
local base = KEYS[1]

local function of(id)
  local held = redis.call('HMGET', base .. 'd:' .. id, 'subscription', 'line', 'made', 'outcome', 'claim', 'alerts')
  if not held[1] then return nil end
  return {subscription = held[1], line = held[2], made = held[3], outcome = held[4], claim = held[5], alerts = held[6]}
end

-- An endpoint is looked at when its earliest delivery is due.
local function look_again(subscription)
  local first = redis.call('ZRANGE', base .. 'due:' .. subscription, 0, 0, 'WITHSCORES')
  if first[1] then
    redis.call('ZADD', base .. 'endpoints', first[2], subscription)
  else
    redis.call('ZREM', base .. 'endpoints', subscription)
  end
end

-- The delivery no longer keeps those behind it in its line.
local function leave_line(id, held)
  if held.line == '' then return end
  local line = base .. 'line:' .. held.subscription .. ':' .. held.line
  local was_first = redis.call('LINDEX', line, 0) == id
  redis.call('LREM', line, 1, id)
  local following = was_first and redis.call('LINDEX', line, 0)
  if following then
    redis.call('ZADD', base .. 'due:' .. held.subscription, redis.call('HGET', base .. 'd:' .. following, 'made'), following)
  end
end

local function list(verb, held, outcome, ...)
  if outcome == '' then return end
  redis.call(verb, base .. 'made::' .. outcome, ...)
  redis.call(verb, base .. 'made:' .. held.subscription .. ':' .. outcome, ...)
end

local steps = {}

-- id, subscription, line, made, forgotten at, record, body, alerts (ids with blanks between), outcome ('' unless it is settled) -> whether it is new
function steps.add(id, subscription, line, made, forgotten_at, record, body, alerts, outcome)
  local key = base .. 'd:' .. id
  if redis.call('EXISTS', key) == 1 then return 0 end
  redis.call('HSET', key, 'record', record, 'body', body, 'subscription', subscription, 'line', line, 'made', made, 'outcome', outcome, 'alerts', alerts)
  redis.call('ZADD', base .. 'made', made, id)
  redis.call('ZADD', base .. 'made:' .. subscription .. ':', made, id)
  for alert in alerts:gmatch('%S+') do redis.call('ZADD', base .. 'about:' .. alert, made, id) end
  redis.call('ZADD', base .. 'kept', forgotten_at, id)
  list('ZADD', {subscription = subscription}, outcome, made, id)
  if outcome ~= '' then return 1 end
  redis.call('ZADD', base .. 'waiting', made, id)
  if line ~= '' and redis.call('RPUSH', base .. 'line:' .. subscription .. ':' .. line, id) > 1 then return 1 end
  redis.call('ZADD', base .. 'due:' .. subscription, made, id)
  redis.call('ZADD', base .. 'endpoints', 'LT', made, subscription)
  return 1
end

-- now, back at (when the claim ends by itself), claim, then pairs of subscription and most -> pairs of record and body
function steps.claim(now, back_at, claim, ...)
  local found, asked = {}, {...}
  for i = 1, #asked, 2 do
    local due = base .. 'due:' .. asked[i]
    for _, id in ipairs(redis.call('ZRANGEBYSCORE', due, '-inf', now, 'LIMIT', 0, asked[i + 1])) do
      local held = redis.call('HMGET', base .. 'd:' .. id, 'record', 'body')
      redis.call('HSET', base .. 'd:' .. id, 'claim', claim)
      redis.call('ZADD', due, back_at, id)
      found[#found + 1], found[#found + 2] = held[1], held[2]
    end
    look_again(asked[i])
  end
  return found
end

-- A delivery waits for nothing any more.
local function leave(id, held)
  redis.call('ZREM', base .. 'due:' .. held.subscription, id)
  redis.call('ZREM', base .. 'waiting', id)
end

-- id, claim, outcome, due ('' once settled), record -> whether the claim still held
function steps.update(id, claim, outcome, due, record)
  local held = of(id)
  if not held or held.claim ~= claim then return 0 end
  if held.outcome ~= outcome then
    list('ZREM', held, held.outcome, id)
    list('ZADD', held, outcome, held.made, id)
  end
  redis.call('HSET', base .. 'd:' .. id, 'record', record, 'outcome', outcome)
  redis.call('HDEL', base .. 'd:' .. id, 'claim')
  if due == '' then
    leave(id, held)
  else
    redis.call('ZADD', base .. 'due:' .. held.subscription, due, id)
  end
  leave_line(id, held)
  look_again(held.subscription)
  return 1
end

-- now, claim, ids: what was claimed and not tried is due again
function steps.give_back(now, claim, ...)
  for _, id in ipairs({...}) do
    local held = of(id)
    if held and held.claim == claim then
      redis.call('HDEL', base .. 'd:' .. id, 'claim')
      redis.call('ZADD', base .. 'due:' .. held.subscription, now, id)
      look_again(held.subscription)
    end
  end
  return 0
end

-- now, then id, due, record as it was read, record as it shall be -> ids whose record had changed meanwhile
-- What is being tried, or has its turn still to come in its line, is left as it is.
function steps.retry(now, ...)
  local changed, asked = {}, {...}
  for i = 1, #asked, 4 do
    local id, key = asked[i], base .. 'd:' .. asked[i]
    local held = of(id)
    local due = held and redis.call('ZSCORE', base .. 'due:' .. held.subscription, id)
    if held and redis.call('HGET', key, 'record') ~= asked[i + 2] then
      changed[#changed + 1] = id
    elseif held and not (held.claim and due and tonumber(due) > tonumber(now)) and not (held.line ~= '' and redis.call('LPOS', base .. 'line:' .. held.subscription .. ':' .. held.line, id)) then
      redis.call('HSET', key, 'record', asked[i + 3])
      redis.call('HDEL', key, 'claim')
      redis.call('ZADD', base .. 'due:' .. held.subscription, asked[i + 1], id)
      redis.call('ZADD', base .. 'waiting', held.made, id)
      look_again(held.subscription)
    end
  end
  return changed
end

-- now, most -> how many were forgotten, and the ids of those among them that had not been settled
function steps.forget(now, most)
  local ids, untold = redis.call('ZRANGEBYSCORE', base .. 'kept', '-inf', now, 'LIMIT', 0, most), {}
  for _, id in ipairs(ids) do
    local held = of(id)
    redis.call('ZREM', base .. 'kept', id)
    if held then
      if redis.call('ZREM', base .. 'waiting', id) == 1 then untold[#untold + 1] = id end
      redis.call('ZREM', base .. 'due:' .. held.subscription, id)
      redis.call('ZREM', base .. 'made', id)
      redis.call('ZREM', base .. 'made:' .. held.subscription .. ':', id)
      list('ZREM', held, held.outcome, id)
      for alert in held.alerts:gmatch('%S+') do redis.call('ZREM', base .. 'about:' .. alert, id) end
      leave_line(id, held)
      redis.call('DEL', base .. 'd:' .. id)
      look_again(held.subscription)
    end
  end
  return {#ids, untold}
end

-- The lists were copied a moment before the deliveries: what was settled, or forgotten, in between waits for nothing. Returns how many that were.
function steps.mend()
  local count = 0
  for _, id in ipairs(redis.call('ZRANGE', base .. 'waiting', 0, -1)) do
    local held, record = of(id), redis.call('HGET', base .. 'd:' .. id, 'record')
    if not held then
      redis.call('ZREM', base .. 'waiting', id)
    elseif cjson.decode(record).due_at == cjson.null then
      leave(id, held)
      leave_line(id, held)
      look_again(held.subscription)
      count = count + 1
    end
  end
  return count
end

return steps[ARGV[1]](unpack(ARGV, 2))
