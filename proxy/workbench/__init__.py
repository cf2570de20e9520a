"""The policy workbench: what the gateway would decide, without one. Read `desk` first.

It works on files alone: no port, no network, no running proxy. What it says of a request is what the rooms below it
say, which are the gateway's own.

desk · opening · wire · caller · way · outcome   a request in, its answer out, in the order of `server/exchange`
case · asking · documents                        what may be asked, and how it is said
tables · table_schema · glossary                 tests in YAML, and the words for the fields of the input
suite · known · pool · engines                   tests, loaded once and run in processes of their own, by either engine
coverage · tracer · report · pytest_plugin       what is told of them, and to whom
"""
