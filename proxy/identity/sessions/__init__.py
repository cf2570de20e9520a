"""What a browser's sign-in leaves behind on our side.

    session     the nouns: a session, and the handles that browsers hold of it
    service     service tokens: what a program holds in a person's stead
    store       what keeps them must do, whatever it is
    sqlite      one file, for the workers of one host; statements and database are its parts
    redis       a server, for several hosts; scripts are its part
    live        what requests ask: sessions in memory, never older than a second

A handle, a token or a key is never told to a log, and never kept as it is.
"""
