-- Applies one batch to the panes of one subject and to their sums by the hour, exactly once.
--
-- KEYS[1]  what every key of the subject begins with (`y:{subject}:`): the others are made from it, so all share its slot
-- ARGV     pairs: topic-partition, and its documents in offset order as a MessagePack list of lists:
--          offset, event_ms, day, kind (n news, s social), class (n u p, c clearly n), polarity_e6, story, publisher, author or "",
--          document, evidence JSON or ""
-- Returns the number of documents above the fences.
--
-- A telling (story, publisher, day) counts at its earliest (event, document), whichever arrives first: an earlier one
-- moves the count. So the panes do not depend on how partitions interleave.
local KEEP_PANES_S = 9 * 86400
local KEEP_HOURS_S = 36 * 86400 -- five weeks, and the day that is not over
local WEEK_HOURS = 168
local PAIRED = {t = 0, n = 1} -- place of a field within its hour
local CLEAR = 'c' -- kept behind the pairs of all hours of the week
local KEEP_TOLD_S = 4 * 86400
local KEEP_WINDOW_S = 2 * 86400 -- evidence and sketches: they are read of windows that end now, and the widest lasts a day
local KEEP_EVIDENCE_MS = 4 * 86400000 -- by event time, of a subject that is talked about on and on; partitions that catch up are less apart
local MOST_EVIDENCE = 400

local base = KEYS[1]
local fence_key = base .. 'fence'
local applied = 0
local quarters = {} -- quarter -> pane field -> what to add: written at the end, one command per field
local hours = {} -- week -> number within it -> what to add: written at the end, one command per week
local told = {} -- keys of tellings written
local sketches = {} -- key -> members to add
local newest_ms = 0 -- event of this batch

local function count_hour(event_ms, field, amount)
  if not PAIRED[field] and field ~= CLEAR then return end
  local hour = math.floor(event_ms / 3600000)
  local week = math.floor(hour / WEEK_HOURS)
  local numbers = hours[week] or {}
  hours[week] = numbers
  local index = field == CLEAR and 2 * WEEK_HOURS + hour % WEEK_HOURS or hour % WEEK_HOURS * 2 + PAIRED[field]
  numbers[index] = (numbers[index] or 0) + amount
end

local function count(event_ms, kind, field, amount)
  local minute = math.floor(event_ms / 60000)
  local quarter = math.floor(minute / 15) * 900
  local fields = quarters[quarter] or {}
  quarters[quarter] = fields
  local name = (minute % 15) .. kind .. field
  fields[name] = (fields[name] or 0) + amount
  count_hour(event_ms, field, amount)
end

local function tell(event_ms, kind, class, polarity, sign)
  count(event_ms, kind, 't', sign)
  count(event_ms, kind, class, sign)
  if class == CLEAR then count(event_ms, kind, 'n', sign) end
  count(event_ms, kind, 'y', sign * polarity)
end

local function sketch(what, quarter, member)
  if member ~= '' then
    local key = base .. 'hll:' .. what .. ':' .. quarter
    local members = sketches[key] or {}
    sketches[key] = members
    members[#members + 1] = member
  end
end

-- What was told on a day lies in many small hashes: Redis packs those of up to 512 fields, in 60 % of the memory.
local function told_on(day, id)
  local key = base .. 'told:' .. day .. ':' .. string.sub(id, -1)
  told[key] = true
  return key
end

local function apply(event_ms, day, kind, class, polarity, story, publisher, author, document, evidence)
  local documents, tellings = told_on(day, document), told_on(day, story)
  local telling = 't' .. story .. publisher
  local known, first = redis.call('HGET', documents, 'd' .. document), redis.call('HGET', tellings, telling)
  local known_ms, known_kind, known_story
  if known then
    known_ms, known_kind, known_story = string.match(known, '^(%d+)(%a)(.*)$')
    if known_story ~= story then return end -- an edit of a document that was counted: it counts once
  end
  if not known or event_ms < tonumber(known_ms) then
    if known then count(tonumber(known_ms), known_kind, 'd', -1) end
    count(event_ms, kind, 'd', 1)
    redis.call('HSET', documents, 'd' .. document, string.format('%d', event_ms) .. kind .. story)
  end
  local earlier = true
  if first then
    local ms, first_kind, first_class, first_polarity, first_document = string.match(first, '^(%d+)(%a)(%a)(-?%d+):(.*)$')
    ms = tonumber(ms)
    earlier = event_ms < ms or (event_ms == ms and document < first_document)
    if earlier then tell(ms, first_kind, first_class, tonumber(first_polarity), -1) end
  end
  if earlier then
    tell(event_ms, kind, class, polarity, 1)
    redis.call('HSET', tellings, telling, string.format('%d', event_ms) .. kind .. class .. string.format('%d', polarity) .. ':' .. document)
  end
  if class == 'n' or class == CLEAR then
    local quarter = string.format('%d', math.floor(event_ms / 900000) * 900)
    sketch('stories', quarter, story)
    sketch('publishers', quarter, publisher)
    sketch('authors', quarter, author)
    if evidence ~= '' and not first then
      redis.call('ZADD', base .. 'evidence', event_ms, evidence)
    end
  end
end

local function write_hours()
  for week, numbers in pairs(hours) do
    local key = base .. 'h:' .. string.format('%d', week)
    local increments = {}
    for index, amount in pairs(numbers) do
      for _, word in ipairs({'INCRBY', 'i32', '#' .. string.format('%d', index), string.format('%d', amount)}) do
        increments[#increments + 1] = word
      end
    end
    redis.call('BITFIELD', key, unpack(increments))
    redis.call('EXPIRE', key, KEEP_HOURS_S)
  end
end

for i = 1, #ARGV, 2 do
  local partition, fence = ARGV[i], tonumber(redis.call('HGET', fence_key, ARGV[i]) or '-1')
  for _, document in ipairs(cmsgpack.unpack(ARGV[i + 1])) do
    if document[1] > fence then
      fence = document[1]
      applied = applied + 1
      newest_ms = math.max(newest_ms, document[2])
      apply(unpack(document, 2))
    end
  end
  redis.call('HSET', fence_key, partition, string.format('%d', fence))
end

-- A quarter leaves the index once its panes are gone. Two for each that comes, so that the index never grows for long.
local function drop_oldest(index)
  for _, oldest in ipairs(redis.call('ZRANGE', index, 0, 1)) do
    if redis.call('EXISTS', base .. 'q:' .. oldest) == 0 then redis.call('ZREM', index, oldest) end
  end
end

if applied > 0 then
  local index = base .. 'quarters'
  redis.call('EXPIRE', fence_key, KEEP_PANES_S)
  for quarter, fields in pairs(quarters) do
    local name = string.format('%d', quarter)
    local key = base .. 'q:' .. name
    for field, amount in pairs(fields) do
      redis.call('HINCRBY', key, field, string.format('%d', amount))
    end
    redis.call('EXPIRE', key, KEEP_PANES_S)
    if redis.call('ZADD', index, quarter, name) == 1 then drop_oldest(index) end
  end
  redis.call('EXPIRE', index, KEEP_PANES_S)
  write_hours()
  for key in pairs(told) do
    redis.call('EXPIRE', key, KEEP_TOLD_S)
  end
  for key, members in pairs(sketches) do
    redis.call('PFADD', key, unpack(members))
    redis.call('EXPIRE', key, KEEP_WINDOW_S)
  end
  redis.call('ZREMRANGEBYSCORE', base .. 'evidence', '-inf', string.format('(%d', newest_ms - KEEP_EVIDENCE_MS))
  if redis.call('ZCARD', base .. 'evidence') > MOST_EVIDENCE then
    redis.call('ZREMRANGEBYRANK', base .. 'evidence', 0, -MOST_EVIDENCE - 1)
  end
  redis.call('EXPIRE', base .. 'evidence', KEEP_WINDOW_S)
end
return applied
