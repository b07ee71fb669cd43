"""Stop working for a client that has gone."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import Request

from service.errors import ClientGone

T = TypeVar("T")


async def while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Run something for as long as the client waits for it.

    Parameters
    ----------
    request
        Its body must have been read.
    work
        Is cancelled when the client closes the connection.

    Raises
    ------
    ClientGone
        It did.
    """
    working = asyncio.create_task(work)
    # With the body read, the one message that can still come is the disconnect.
    watching = asyncio.ensure_future(request.receive())
    try:
        await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientGone
        return working.result()
    finally:
        working.cancel()
        watching.cancel()
        await asyncio.gather(working, watching, return_exceptions=True)
