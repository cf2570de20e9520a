"""The policy workbench: what the gateway would decide, without one. Read `desk.py` first.

It works on files alone: no port, no network, no running proxy. What it says of a request is what the rooms below it
say, which are the gateway's own.
"""
