"""Processes that write sessions as fast as they can, each until it is killed.

Started by a test with the file and how many are to be killed; says which writes were acknowledged, a line each. It
forks, for a process that begins anew takes longer than it lives here.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import time
from pathlib import Path

from proxy.identity.sessions.session import digest_of
from proxy.identity.sessions.sqlite import SQLiteStore
from tests.identity.sessions.made import handle, session


async def write(path: Path, told: int) -> None:
    """Write for ever: a session, a change of it, the end of every third, a code, a value that is good once."""
    store = SQLiteStore(path)
    number = 0
    while True:
        number += 1
        made = session(provider_sid=os.urandom(4).hex(), claims={"filling": "x" * random.randrange(8000)})
        _, record = handle(made)
        if await store.create(made, record, begun_at=0):
            _say(told, "created", made.id, record.digest.hex())
        if await store.update(made, 0):
            _say(told, "updated", made.id)
        if await store.once("jti", made.id, made.expires_at):
            _say(told, "once", made.id)
        await store.put_code(digest_of(made.id.encode()), b"payload", made.expires_at)
        _say(told, "code", made.id)
        if number % 3 == 0 and await store.end(made.id, "x"):
            _say(told, "ended", made.id)


def _say(told: int, *words: str) -> None:
    os.write(told, (" ".join(words) + "\n").encode())


def main(path: Path, times: int) -> None:
    """Start a writer and kill it, again and again; each was acknowledged something first."""
    for _ in range(times):
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            asyncio.run(write(path, writing))
        os.close(writing)
        heard = os.read(reading, 65536)
        time.sleep(random.uniform(0, 0.02))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        while more := os.read(reading, 65536):
            heard += more
        os.close(reading)
        os.write(1, heard)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
