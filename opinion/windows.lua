-- Applies one batch of one Kafka partition to the panes of one subject, exactly once.
--
-- KEYS[1]  what every key of the subject begins with (`y:{subject}:`): the others are made from it, so all share its slot
-- ARGV[1]  topic-partition; then, per document in offset order, FIELDS values:
--          offset, event_ms, day, kind (n news, s social), class (n u p), polarity_e6, story, publisher, author or "",
--          document, evidence JSON or ""
-- Returns the number of documents above the fence.
--
-- A telling (story, publisher, day) counts at its earliest (event, document), whichever arrives first: an earlier one
-- moves the count. So the panes do not depend on how partitions interleave.
local FIELDS = 11
local KEEP_PANES_S = 9 * 86400
local KEEP_TOLD_S = 4 * 86400
local KEEP_EVIDENCE_S = 2 * 86400
local MOST_EVIDENCE = 400

local base = KEYS[1]
local fence_key = base .. 'fence'
local fence = tonumber(redis.call('HGET', fence_key, ARGV[1]) or '-1')
local applied = 0
local touched = {}

local function count(event_ms, kind, field, amount)
  local minute = math.floor(event_ms / 60000)
  local quarter = math.floor(minute / 15) * 900
  local key = base .. 'q:' .. string.format('%d', quarter)
  redis.call('HINCRBY', key, (minute % 15) .. kind .. field, string.format('%d', amount)) -- not '-0'
  touched[key] = quarter
end

local function tell(event_ms, kind, class, polarity, sign)
  count(event_ms, kind, 't', sign)
  count(event_ms, kind, class, sign)
  count(event_ms, kind, 'y', sign * polarity)
end

for i = 2, #ARGV, FIELDS do
  local offset = tonumber(ARGV[i])
  if offset > fence then
    fence = offset
    applied = applied + 1
    local event_ms, day, kind, class = tonumber(ARGV[i + 1]), ARGV[i + 2], ARGV[i + 3], ARGV[i + 4]
    local polarity, story, publisher, author = tonumber(ARGV[i + 5]), ARGV[i + 6], ARGV[i + 7], ARGV[i + 8]
    local document, evidence = ARGV[i + 9], ARGV[i + 10]
    local told_key = base .. 'told:' .. day

    local known = redis.call('HGET', told_key, 'd' .. document)
    local known_ms, known_story, known_kind
    if known then
      known_ms, known_kind, known_story = string.match(known, '^(%d+)(%a)(.*)$')
    end
    if not known or known_story == story then -- else an edit of a document that was counted: it counts once
      if not known or event_ms < tonumber(known_ms) then
        if known then count(tonumber(known_ms), known_kind, 'd', -1) end
        count(event_ms, kind, 'd', 1)
        redis.call('HSET', told_key, 'd' .. document, string.format('%d', event_ms) .. kind .. story)
      end
      local telling = 't' .. story .. publisher
      local first = redis.call('HGET', told_key, telling)
      local earlier = true
      if first then
        local ms, first_kind, first_class, first_polarity, first_document = string.match(first, '^(%d+)(%a)(%a)(-?%d+):(.*)$')
        ms = tonumber(ms)
        earlier = event_ms < ms or (event_ms == ms and document < first_document)
        if earlier then tell(ms, first_kind, first_class, tonumber(first_polarity), -1) end
      end
      if earlier then
        tell(event_ms, kind, class, polarity, 1)
        redis.call('HSET', told_key, telling, string.format('%d', event_ms) .. kind .. class .. string.format('%d', polarity) .. ':' .. document)
      end
      redis.call('EXPIRE', told_key, KEEP_TOLD_S)
      if class == 'n' then
        local quarter = string.format('%d', math.floor(event_ms / 900000) * 900)
        local sketches = { stories = story, publishers = publisher, authors = author }
        for what, member in pairs(sketches) do
          if member ~= '' then
            local key = base .. 'hll:' .. what .. ':' .. quarter
            redis.call('PFADD', key, member)
            redis.call('EXPIRE', key, KEEP_PANES_S)
          end
        end
        if evidence ~= '' and not first then
          redis.call('ZADD', base .. 'evidence', event_ms, evidence)
        end
      end
    end
  end
end

if applied > 0 then
  redis.call('HSET', fence_key, ARGV[1], string.format('%d', fence))
  redis.call('EXPIRE', fence_key, KEEP_PANES_S)
  for key, quarter in pairs(touched) do
    redis.call('ZADD', base .. 'quarters', quarter, string.format('%d', quarter))
    redis.call('EXPIRE', key, KEEP_PANES_S)
  end
  redis.call('EXPIRE', base .. 'quarters', KEEP_PANES_S)
  if redis.call('ZCARD', base .. 'evidence') > MOST_EVIDENCE then
    redis.call('ZREMRANGEBYRANK', base .. 'evidence', 0, -MOST_EVIDENCE - 1)
  end
  redis.call('EXPIRE', base .. 'evidence', KEEP_EVIDENCE_S)
end
return applied
