"""One request's life, and what keeps it company.

exchange · forward · relay · answer · outcome    a request from its head to its last byte: read `exchange` first
connection · listener · proxy_protocol · sockets who is at the other end, and how it got in
route · snapshot · reload                        what a config compiles to, and how the next one takes over
worker · runtime · tasks · watchdog · admin      the process
"""
