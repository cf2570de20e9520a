-- Requests that differ: over routes, over users, or by a path that none had before.
--
-- Arguments: number of routes (0: none), number of users, the file with their tokens (one a line), `distinct` for a new path
-- each time or `same`, and, to meet each route and user once and in order, how many have been met before.

local routes, tokens, stem, sent, met

function init(args)
   routes, sent, tokens = tonumber(args[1]), 0, {}
   stem = args[4] == "distinct" and os.time() .. "-"
   met = tonumber(args[5])
   for line in io.lines(args[3]) do
      tokens[#tokens + 1] = line
      if #tokens == tonumber(args[2]) then break end
   end
   math.randomseed(os.time())
end

-- One of so many, from 0.
local function pick(number)
   return met and (met + sent) % number or math.random(0, number - 1)
end

function request()
   local path = routes > 0 and "/service-" .. pick(routes) .. "/" or "/"
   if stem then path = path .. stem .. sent end
   local token = tokens[1 + pick(#tokens)]
   sent = sent + 1
   return "GET " .. path .. " HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " .. token .. "\r\n\r\n"
end
