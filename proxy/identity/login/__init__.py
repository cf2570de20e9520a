"""Signing in at an OIDC provider: where the browser is sent, and what becomes of what it comes back with.

    outcome       who signed in, and the ways in which signing in fails
    discovery     where a provider's endpoints are
    client        what we say to them, and who we prove to be; Authlib makes the requests, aiohttp carries them
    id_token      what an ID token must claim, and be signed with; logout_token the same for its sibling
    person        whom the claims make: e-mail and groups, from the ID token, userinfo and the groups file
    provider      all of it for one provider; providers makes them of the config

It knows no browser, cookie or session store.
"""
