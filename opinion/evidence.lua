-- Takes documents out of the evidence of one subject: at most 400 lines of JSON, of which each begins with the id of its document.
--
-- KEYS[1]  the sorted set of the evidence
-- ARGV     what the lines to take out begin with
-- Returns how many were taken out.
local gone = 0
for _, line in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  for _, beginning in ipairs(ARGV) do
    if string.sub(line, 1, #beginning) == beginning then
      gone = gone + redis.call('ZREM', KEYS[1], line)
      break
    end
  end
end
return gone
