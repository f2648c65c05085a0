"""Searches take turns: as many at once as there are processors, behind them a line, and who comes then is told so.

More at once would only make all of them slower and take more memory, and a longer line would keep everybody waiting.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from fastapi import Depends, Request
from fastapi.concurrency import run_in_threadpool

from reidapp.errors import UnavailableError

Told = TypeVar("Told")

_CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
AT_ONCE = max(2, _CORES)
IN_LINE = 32 * AT_ONCE  # a picture or a search takes a tenth of a second: a wait of three seconds


class Turns:
    """The turns of one server.

    Args:
        at_once: that work at the same time.
        in_line: that wait for them.

    Attributes:
        waiting: now.
    """

    def __init__(self, at_once: int = AT_ONCE, in_line: int = IN_LINE) -> None:
        self._free = asyncio.Semaphore(at_once)
        self._most = in_line
        self.waiting = 0

    @asynccontextmanager
    async def turn(self, request: Request) -> AsyncIterator[None]:
        """Wait for a turn, and have it. The request has been read.

        Raises:
            UnavailableError: as many as may wait already, or whoever asks has gone meanwhile.
        """
        if self._free.locked() and self.waiting >= self._most:
            raise UnavailableError("more searches are waiting than this server can do soon; try again in a moment")
        self.waiting += 1
        try:
            await self._free.acquire()
        finally:
            self.waiting -= 1
        try:
            if await request.is_disconnected():
                raise UnavailableError("whoever asked has gone")
            yield
        finally:
            self._free.release()


async def _turn(request: Request) -> AsyncIterator[None]:
    async with request.app.state.turns.turn(request):
        yield


IN_TURN = [Depends(_turn)]  # of a route that searches, and whose request has been read by then


async def in_turn(request: Request, work: Callable[..., Told], *arguments: Any) -> Told:
    """What a thread does once it is its turn; for routes that read a long request themselves."""
    async with request.app.state.turns.turn(request):
        return await run_in_threadpool(work, *arguments)
