"""The decision: permit · decision · input · embedded · analysis · opa · authorize · audit.

Only this room makes a `Permit`, and forwarding takes one: a request that nobody decided does not type-check.
"""
