-- Places of tellings in the stories of one bucket. KEYS[1]: what the keys of the bucket begin with; those of a story are made from it:
-- its hash (`d:<document>` -> place, `n` count, `at` newest event ms) and, with `:more` behind, its HyperLogLog of further documents.
-- ARGV: memory ms, most documents remembered, then a MessagePack list of story, document digest, event ms, story, .. in the order told.
-- Answers a MessagePack list of one place per telling: integers in a reply of their own each cost the reader more than all else here.
local memory, most = tonumber(ARGV[1]), tonumber(ARGV[2])
local tellings = cmsgpack.unpack(ARGV[3])
local places = {}
for i = 1, #tellings, 3 do
  local key, teller, at = KEYS[1] .. tellings[i], tellings[i + 1], tellings[i + 2]
  local found = redis.call('HMGET', key, 'at', 'n', 'd:' .. teller)
  local newest, count, place = tonumber(found[1] or at), tonumber(found[2] or 0), tonumber(found[3] or '')
  if at > newest + memory then
    redis.call('DEL', key, key .. ':more')
    count, place = 0, nil
  end
  if not place and count < most then
    count = count + 1
    place = count
    redis.call('HSET', key, 'd:' .. teller, place)
  elseif not place then
    redis.call('PFADD', key .. ':more', teller)
    place = most + redis.call('PFCOUNT', key .. ':more')
  end
  places[#places + 1] = place
  redis.call('HSET', key, 'at', string.format('%.0f', math.max(newest, at)), 'n', count)
  redis.call('PEXPIRE', key, memory)
  redis.call('PEXPIRE', key .. ':more', memory)
end
return cmsgpack.pack(places)
