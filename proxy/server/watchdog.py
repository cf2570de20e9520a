"""What ends a process whose event loop is stuck.

An embedded evaluation holds the interpreter's lock until it is done, and it has no timer: a policy that never ends
would hang the process for ever, answering nobody, `/livez` included. A thread of Python's could not even notice. The
timer of `faulthandler` is a thread of C that needs no lock: armed anew by a heartbeat, it prints every stack and ends
the process when the heart stops, so that a supervisor starts a new one. Nothing is let through meanwhile.
"""

from __future__ import annotations

import asyncio
import faulthandler

HEARTBEAT_SECONDS = 1.0
STUCK_SECONDS = 10.0  # a loop that has not turned for so long answers nobody


class Watchdog:
    """Ends the process with status 1 when the loop has not turned for `stuck` seconds."""

    def __init__(self, stuck: float = STUCK_SECONDS) -> None:
        self._stuck = stuck

    async def run(self) -> None:
        """Arm the timer again with every heartbeat, until cancelled."""
        try:
            while True:
                faulthandler.dump_traceback_later(self._stuck, exit=True)
                await asyncio.sleep(min(HEARTBEAT_SECONDS, self._stuck / 4))
        finally:
            faulthandler.cancel_dump_traceback_later()
