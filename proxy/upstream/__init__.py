"""The services behind: cluster · pool · connect · connection. It knows a permit and nothing else of policy."""
