"""Who is calling.

    principal                            the nouns: principal, peer
    spiffe · bundle · svid · tls         workloads: IDs, trust bundles, X.509-SVIDs, handshakes
    authorities · device                 devices: who signs for them, certificates that are no SVIDs
    pem · keypair · certificate          certificates and keys on disk, and what is in them
    authority · pki                      a development CA and a declared PKI
    token · jwks · claims                users: tokens, keys, what a token says of its subject
    oidc · keys · issuers                where keys come from, and how they are kept fresh
    gateways · vouching                  users whom another gateway vouches for, by its assertion and its connection
    authenticate · verified              a request's credentials to its principal, and what was proven before

An identity is an issuer and a subject. Verification raises; nothing here returns a boolean that could be ignored.
"""
