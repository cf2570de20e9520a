"""The map of the rooms; an arrow may only point down this list.

cli        what a person types
server     one request's life (`server/exchange.py`: read it first), listeners, reload, drain
upstream   clusters, pools and connections to the services behind
policy     the decision: input, Rego engines, permit, decision records
identity   who is calling: SPIFFE, trust bundles, mTLS, tokens, keys
http       HTTP/1.1 without I/O: targets, framing, headers, refusals
transport  a byte stream with back-pressure and deadlines
telemetry  metrics and JSON records
config     one YAML file: schema, budgets, mistakes
errors     the catalogue of refusals
"""
