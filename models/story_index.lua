-- Parts of the event index of one bucket. KEYS[1]: what the keys of the bucket begin with; those of a part are made from it.
-- ARGV: `look` or `write`, memory ms, most bytes kept under a trait, then parts, or part, value, event ms, part, .. (as arguments: this MessagePack knows no bytes)
-- A part is a story `s:` (its event), a document `d:` (its event and signature), both behind 15 digits of the newest event ms, or a trait `b:`
-- (digests of 8 bytes, newest first). What a story or a document holds stays, a story's until it was not told for as long as memory.
-- Answers a list: what each part holds (nothing where it holds nothing), or what it holds after each write; nothing for traits.
local memory, most = tonumber(ARGV[2]), tonumber(ARGV[3])
local answer = {}
if ARGV[1] == 'look' then
  for i = 4, #ARGV do
    answer[i - 3] = redis.call('GET', KEYS[1] .. ARGV[i])
  end
  return answer
end
for i = 4, #ARGV, 3 do
  local key, kind, value, at = KEYS[1] .. ARGV[i], string.sub(ARGV[i], 1, 1), ARGV[i + 1], tonumber(ARGV[i + 2])
  local held = redis.call('GET', key)
  if kind == 'b' then
    held = held or ''
    if string.sub(held, 1, #value) ~= value then
      held = string.sub(value .. held, 1, most)
    end
    redis.call('SET', key, held, 'PX', memory)
    answer[#answer + 1] = ''
  else
    local newest = held and tonumber(string.sub(held, 1, 15))
    if held and (kind == 'd' or at <= newest + memory) then
      value = string.sub(held, 16)
      at = math.max(at, newest)
    end
    redis.call('SET', key, string.format('%015.0f', at) .. value, 'PX', memory)
    answer[#answer + 1] = value
  end
end
return answer
