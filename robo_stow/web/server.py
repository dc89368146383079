"""Serves the control room's page over HTTP while a site runs."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

from aiohttp import web

from robo_stow.errors import InputError
from robo_stow.monitor import MonitorCore
from robo_stow.web import picture

HOST = "127.0.0.1"
"""Only this machine; a site puts its own proxy, with its own log-in, in front."""
NAMES = frozenset((HOST, "localhost"))
"""Hosts that a request may name: a page from elsewhere whose name leads here gets nothing."""
PERIOD = 0.2
"""Wall time (s) between pictures of the floor."""
PAGE = Path(__file__).parent / "page"
_PATIENCE = 10.0  # s
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:",
    "X-Content-Type-Options": "nosniff",
}


class ControlRoom:
    """A web server in a thread of its own, fed by whoever steps the monitor.

    Serves ``/`` (the page), ``/floor`` (the building as JSON) and ``/moments`` (server-sent
    events, see `picture.moment`). It only shows: nothing can be changed through it. The thread
    never touches the monitor; a listener that does not keep up misses pictures and delays nobody.

    Args:
        monitor: what is shown.
        port: TCP port on this machine; 0 takes a free one, see ``port``.

    Raises:
        InputError: the port cannot be had.
    """

    def __init__(self, monitor: MonitorCore, port: int) -> None:
        self.port = port
        self._monitor = monitor
        self._floor = json.dumps(picture.floor(monitor.building))
        self._next = 0.0
        self._listeners: set[asyncio.Queue[str | None]] = set()
        self._loop = asyncio.new_event_loop()
        self._runner = web.AppRunner(self._application(), access_log=None, shutdown_timeout=1.0)
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="control room", daemon=True
        )
        self._thread.start()
        try:
            self._in_thread(self._start())
        except OSError as error:
            self._stop()
            reason = error.strerror or str(error)
            raise InputError("control room", "port", port, reason) from None

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://{HOST}:{self.port}/"

    @property
    def listeners(self) -> int:
        """Pages that are open."""
        return len(self._listeners)

    def show(self) -> None:
        """Send the listeners, if there are any, the floor as it is, five times a second at most."""
        wall = time.monotonic()
        if wall < self._next or not self._listeners:
            return
        self._next = wall + PERIOD
        self._send(json.dumps(picture.moment(self._monitor), separators=(",", ":")))

    def close(self) -> None:
        """Show the last moment, tell the listeners that this is the end, and stop the server."""
        self._next = 0.0
        self.show()
        self._send(None)
        self._stop()

    def _send(self, text: str | None) -> None:
        self._loop.call_soon_threadsafe(self._offer, text)

    def _in_thread(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(_PATIENCE)

    def _stop(self) -> None:
        self._in_thread(self._runner.cleanup())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    # -- in the server's thread -----------------------------------------------------------------

    async def _start(self) -> None:
        await self._runner.setup()
        await web.TCPSite(self._runner, HOST, self.port).start()
        self.port = self._runner.addresses[0][1]

    def _offer(self, text: str | None) -> None:
        for queue in self._listeners:
            while text is not None and not queue.empty():
                queue.get_nowait()  # it is late: what it has missed is gone
            queue.put_nowait(text)

    def _application(self) -> web.Application:
        app = web.Application(middlewares=[_from_here])
        for path, name in (("/", "index.html"), ("/page.css", "page.css"), ("/page.js", "page.js")):
            app.router.add_get(path, _file(PAGE / name))
        app.router.add_get("/floor", self._on_floor)
        app.router.add_get("/moments", self._on_moments)
        return app

    async def _on_floor(self, request: web.Request) -> web.Response:
        return web.Response(text=self._floor, content_type="application/json", headers=_HEADERS)

    async def _on_moments(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={**_HEADERS, "Content-Type": "text/event-stream"})
        await response.prepare(request)
        queue: asyncio.Queue[str | None] = asyncio.Queue()
        self._listeners.add(queue)
        try:
            while (text := await queue.get()) is not None:
                await response.write(f"data: {text}\n\n".encode())
            await response.write(b"event: end\ndata:\n\n")
        except ConnectionError:
            pass  # the page was closed
        finally:
            self._listeners.discard(queue)
        return response


@web.middleware
async def _from_here(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    if request.url.host not in NAMES:
        raise web.HTTPForbidden(text=f"Host {request.url.host!r}: {HOST} or localhost expected")
    return await handler(request)


def _file(path: Path) -> Callable[[web.Request], Awaitable[Any]]:
    async def send(request: web.Request) -> web.FileResponse:
        return web.FileResponse(path, headers=_HEADERS)

    return send
