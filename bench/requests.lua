-- Requests that differ: over routes, over users, or by a path that none had before.
--
-- Arguments: number of routes (0: none), number of users, the file with their tokens (one a line), and `distinct` for a new
-- path each time.

local routes, tokens, stem, sent

function init(args)
   routes, sent, tokens = tonumber(args[1]), 0, {}
   stem = args[4] == "distinct" and os.time() .. "-"
   for line in io.lines(args[3]) do
      tokens[#tokens + 1] = line
      if #tokens == tonumber(args[2]) then break end
   end
   math.randomseed(os.time())
end

function request()
   sent = sent + 1
   local path = routes > 0 and "/service-" .. math.random(0, routes - 1) .. "/" or "/"
   if stem then path = path .. stem .. sent end
   local token = tokens[math.random(#tokens)]
   return "GET " .. path .. " HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " .. token .. "\r\n\r\n"
end
