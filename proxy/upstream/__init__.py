"""The services behind: cluster · endpoint · pool · connect · connection.

It knows a permit and nothing else of policy.
"""
