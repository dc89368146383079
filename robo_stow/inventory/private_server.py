"""A PostgreSQL server of one's own, for tests and benchmarks: no network, gone when stopped."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from sqlalchemy import text

from robo_stow.inventory.database import LedgerError, open_engine


def find_programs() -> Path | None:
    """Folder of the newest installed server's programs; None: no server is installed."""
    found = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3])
    )
    program = found[-1] if found else shutil.which("initdb")
    return None if program is None else Path(program).parent


class PrivateServer:
    """A server in a temporary folder, reached through a socket in it.

    Args:
        programs: folder with ``initdb`` and ``pg_ctl``.
        durable: whether commits outlive the machine; they outlive killed clients either way.

    Raises:
        LedgerError: it does not start.
    """

    def __init__(self, programs: Path, *, durable: bool = True) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="robo-stow-pg-")
        folder = Path(self._folder.name)
        self._programs, self._data, self._count = programs, folder / "data", 0
        self._user: dict[str, Any] = {}
        if os.geteuid() == 0:  # the server refuses to run as root
            users = {user.pw_name: user for user in pwd.getpwall()}
            user = users.get("postgres") or users["nobody"]
            self._user = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": ()}
            os.chown(folder, user.pw_uid, user.pw_gid)
        self._url = f"postgresql:///{{}}?host={folder}&user=ledger"
        self._call("initdb", "-U", "ledger", "-A", "trust", "-E", "UTF8", "--locale=C", "-N")
        self._options = f"-k {folder} -c listen_addresses= -c max_connections=250"
        if not durable:
            self._options += " -c fsync=off -c full_page_writes=off"
        self.start()

    def start(self) -> None:
        """Start the server, also after `kill`.

        Raises:
            LedgerError: it does not start.
        """
        log = str(Path(self._folder.name) / "log")
        self._call("pg_ctl", "-w", "-l", log, "-o", self._options, "start")

    def kill(self) -> None:
        """End the server as a crash of its machine would: at once, in the middle of everything."""
        self._call("pg_ctl", "-m", "immediate", "stop")

    def fresh(self) -> str:
        """URL of a new, empty database."""
        self._count += 1
        name = f"ledger_{self._count}"
        engine = open_engine(self._url.format("postgres"))
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
        engine.dispose()
        return self._url.format(name)

    def stop(self) -> None:
        """Stop the server, if it runs, and remove all it held."""
        if (Path(self._data) / "postmaster.pid").exists():
            self.kill()
        self._folder.cleanup()

    def _call(self, program: str, *arguments: str) -> None:
        command: list[str | Path] = [self._programs / program, "-D", self._data, *arguments]
        done = subprocess.run(
            command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            cwd="/",
            timeout=120,
            **self._user,
        )
        if done.returncode:
            raise LedgerError(f"{program}: {done.stderr.strip()}")
