-- 10 MiB up with every request. Argument: the token.

local upload

function init(args)
   local body = string.rep("x", 10 * 1024 * 1024)
   local head = "POST /upload/file HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " .. args[1]
   upload = head .. "\r\nContent-Length: " .. #body .. "\r\n\r\n" .. body
end

function request()
   return upload
end
