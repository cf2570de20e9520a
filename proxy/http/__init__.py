"""HTTP/1.1 without I/O: message · target · framing · headers · h1 · respond.

This room knows no socket, clock, random number or identity: bytes in, values out.
"""
