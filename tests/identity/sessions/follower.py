"""A process that remembers a session and says when it was told to forget it.

Started by a test with the file, the session's id and a handle.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

from proxy.identity.sessions.live import Sessions
from proxy.identity.sessions.sqlite import SQLiteStore
from tests.identity.sessions.made import HOST


async def main(path: str, session_id: str, handle: str) -> None:
    """Follow until the session is gone."""
    store = SQLiteStore(Path(path))
    sessions = Sessions(store, idle=600)
    following = asyncio.ensure_future(sessions.run())
    cut = asyncio.Event()
    while sessions.recall(handle.encode(), HOST, time.time()) is None:
        await sessions.read(handle.encode(), HOST, time.time())
    sessions.subscribe(session_id, cut.set)
    _say("remembered")
    await cut.wait()
    _say("cut")
    if sessions.recall(handle.encode(), HOST, time.time()) is None:
        _say("forgotten")
    following.cancel()
    await store.close()


def _say(word: str) -> None:
    sys.stdout.write(word + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
