"""Who is calling: principal · spiffe · bundle · svid · tls · jwks · oidc · token · authenticate.

An identity is an issuer and a subject. Verification raises; nothing here returns a boolean that could be ignored.
"""
