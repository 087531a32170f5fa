-- Places of tellings in one story. KEYS: its hash (document -> place, `n` count, `at` newest event ms), its HyperLogLog of further documents.
-- ARGV: memory ms, most documents remembered, then (document digest, event ms) pairs. Answers one place per pair.
local memory, most = tonumber(ARGV[1]), tonumber(ARGV[2])
local places = {}
local newest = tonumber(redis.call('HGET', KEYS[1], 'at') or '')
local count = tonumber(redis.call('HGET', KEYS[1], 'n') or 0)
for i = 3, #ARGV, 2 do
  local teller, at = ARGV[i], tonumber(ARGV[i + 1])
  if newest and at > newest + memory then
    redis.call('DEL', KEYS[1], KEYS[2])
    count = 0
  end
  if not newest or at > newest then
    newest = at
  end
  local place = tonumber(redis.call('HGET', KEYS[1], 'd:' .. teller) or '')
  if not place and count < most then
    count = count + 1
    place = count
    redis.call('HSET', KEYS[1], 'd:' .. teller, place)
  elseif not place then
    redis.call('PFADD', KEYS[2], teller)
    place = most + redis.call('PFCOUNT', KEYS[2])
  end
  places[#places + 1] = place
end
redis.call('HSET', KEYS[1], 'at', string.format('%.0f', newest), 'n', count)
redis.call('PEXPIRE', KEYS[1], memory)
redis.call('PEXPIRE', KEYS[2], memory)
return places
