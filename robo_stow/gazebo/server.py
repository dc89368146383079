"""A gzserver of our own: found, started, watched and ended."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from robo_stow.gazebo.transport import GazeboError, Transport
from robo_stow.resources import share_dir

START = 20.0
"""s until a server that has not started is given up."""
TRIES = 3
"""Starts before giving up: rarely, one hangs."""


def installation() -> Path:
    """Root folder of the unpacked Gazebo 11: ROBO_STOW_GAZEBO, or ``.gazebo/root`` in the tree.

    Raises:
        GazeboError: it is not there.
    """
    named = os.environ.get("ROBO_STOW_GAZEBO")
    root = Path(named) if named else share_dir().resolve() / ".gazebo" / "root"
    if not list(root.glob("usr/bin/gzserver-11*")):
        raise GazeboError(f"no Gazebo 11 in {root}; run `python3 tools/fetch_gazebo.py`")
    return root


def command(root: Path, arguments: list[str]) -> list[str]:
    """Command line that runs gzserver with the loader and libraries it was built for."""
    base = root / "usr/lib/x86_64-linux-gnu"
    libraries = [
        *(base / name for name in ("blas", "lapack", "gazebo-11/plugins", "pulseaudio")),
        root / "lib/x86_64-linux-gnu",
        base,
        root / "usr/lib",
    ]
    loader = sorted((root / "lib/x86_64-linux-gnu").glob("ld-2.*.so"))
    server = sorted(root.glob("usr/bin/gzserver-11*"))
    if not loader or not server:
        raise GazeboError(f"the Gazebo in {root} is not complete; remove it and fetch it again")
    path = ":".join(str(folder) for folder in libraries)
    return [str(loader[0]), "--library-path", path, str(server[0]), *arguments]


def environment(root: Path, port: int) -> dict[str, str]:
    """Environment of a gzserver that talks to this machine only."""
    plugins = root / "usr/lib/x86_64-linux-gnu/gazebo-11/plugins"
    return {
        "PATH": os.defpath,
        "HOME": os.environ.get("HOME", "/tmp"),
        "LC_ALL": "C",
        "GAZEBO_MASTER_URI": f"http://127.0.0.1:{port}",
        "GAZEBO_IP": "127.0.0.1",
        "IGN_IP": "127.0.0.1",
        "GAZEBO_MODEL_DATABASE_URI": "",
        "GAZEBO_RESOURCE_PATH": str(root / "usr/share/gazebo-11"),
        "GAZEBO_PLUGIN_PATH": str(plugins),
        "SDF_PATH": str(root / "usr/share/sdformat9/1.6"),
    }


_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1  # prctl(2)


def _die_with_parent() -> None:
    """Run in the child: no server is left over when this process is killed."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Server:
    """A running gzserver, paused at time 0; a context manager that ends it.

    Args:
        world: SDF text of a Classic world.
        seed: of the server's random numbers.
        root: where Gazebo is, by default `installation`.

    Attributes:
        transport: connection to it.

    Raises:
        GazeboError: Gazebo is not there or does not start; the end of its output is told.
    """

    def __init__(self, world: str, seed: int = 1, root: Path | None = None) -> None:
        self._root = installation() if root is None else root
        self._folder = tempfile.TemporaryDirectory(prefix="robo_stow_gazebo_")
        self._log = Path(self._folder.name) / "gzserver.log"
        file = Path(self._folder.name) / "world.sdf"
        file.write_text(world, encoding="utf-8")
        arguments = ["--verbose", "-u", "--seed", str(seed), str(file)]
        self._process: subprocess.Popen[bytes] | None = None
        for left in reversed(range(TRIES)):
            try:
                self.transport = self._start(arguments)
                return
            except GazeboError:
                self._end()
                if not left:
                    tail = self.log()[-2000:]
                    self._folder.cleanup()
                    raise GazeboError(f"gzserver does not start; its last words:\n{tail}") from None

    def _start(self, arguments: list[str]) -> Transport:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = int(free.getsockname()[1])
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                # Ends with us, however we end: nobody else would stop it.
                ["setpriv", "--pdeathsig", "KILL", *command(self._root, arguments)],
                env=environment(self._root, port),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )
        end = time.monotonic() + START
        while True:
            try:
                transport = Transport(port, START)
                break
            except GazeboError:
                if time.monotonic() > end or self._process.poll() is not None:
                    raise
                time.sleep(0.05)
        try:
            seen: list[bytes] = []
            transport.subscribe("~/world_stats", "WorldStatistics", seen.append)
            transport.wait(lambda: bool(seen), "the world")
        except GazeboError:
            transport.close()
            raise
        return transport

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Its process."""
        assert self._process is not None
        return self._process.pid

    def log(self) -> str:
        """What it has printed."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def close(self) -> None:
        """End the server and remove its files."""
        if hasattr(self, "transport"):
            self.transport.close()
        self._end()
        self._folder.cleanup()

    def _end(self) -> None:
        process = self._process
        if process is None or process.poll() is not None:
            return
        # SIGINT is its way to end; now and then it crashes or hangs on it.
        for number, patience in ((signal.SIGINT, 3.0), (signal.SIGKILL, 5.0)):
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)
            try:
                process.wait(patience)
                return
            except subprocess.TimeoutExpired:
                continue

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
