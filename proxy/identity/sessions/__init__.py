"""What a browser's sign-in leaves behind on our side.

    session · service          the nouns: sessions and the handles that browsers hold of them; service tokens
    store                      what keeps them must do, whatever it is
    sqlite · tables · database  one file, for the workers of one host
    redis · scripts            a server, for several hosts
    following                  how a process learns what others have changed
    live · services            what requests ask: memory, never older than a second

A handle, a token or a key is never told to a log, and never kept as it is.
"""
