"""The proxy measured beside others, in the same rounds, under the same load and the same rules.

`python -m bench` runs it. Read `bars` for what must hold, `cases` for what is measured, `peers/` for who is compared
and how each is set up, `probes` for the proof that all of them decide alike, `loads` for what loads them. `rounds`
carries one whole run; `figures` are what comes out, and `report` and `chart` show them. It uses the proxy from outside
alone: its command line, its configuration and its metrics.
"""
