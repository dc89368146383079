"""Fixtures of more than one test file: a ROS graph, and databases with a small site."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from shop import corner_shop

from robo_stow.floor.building import Building
from robo_stow.inventory.private_server import PrivateServer, find_programs


class Graph:
    """Nodes of this process, spun by hand, and processes of their own."""

    def __init__(self, log: Path, environment: dict[str, str]) -> None:
        from robo_stow_nodes.shell import EXECUTORS

        self.executor = EXECUTORS["events"]()
        self.nodes: list[Any] = []
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._log = log
        self._environment = environment

    def add(self, node: Any) -> Any:
        self.nodes.append(node)
        self.executor.add_node(node)
        return node

    def remove(self, node: Any) -> None:
        """End one of `add`."""
        self.nodes.remove(node)
        self.executor.remove_node(node)
        self._end(node)

    def host(self, kind: Any, *, called: str | None = None, **parameters: Any) -> Any:
        """A node in this process."""
        from rclpy.parameter import Parameter

        values = {"use_sim_time": True, **parameters}
        return self.add(
            kind(
                parameter_overrides=[Parameter(name, value=v) for name, v in values.items()],
                cli_args=["--ros-args", "-r", f"__node:={called or kind.KIND}"],
            )
        )

    def start(self, name: str, **parameters: Any) -> subprocess.Popen[bytes]:
        """A node in a process of its own."""
        options = [
            part
            for key, value in parameters.items()
            for part in ("-p", f"{key}:={json.dumps(value)}")
        ]
        with self.log(name).open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", f"robo_stow_nodes.{name}", "--ros-args", *options],
                env=self._environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        return self.processes[name]

    def log(self, name: str) -> Path:
        return self._log / f"{name}.log"

    def spin_until(self, condition: Callable[[], bool], seconds: float) -> bool:
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                return False
            self.executor.spin_once(timeout_sec=0.05)
        return True

    def stop(self, number: int = signal.SIGINT) -> dict[str, int]:
        """Signals the processes; their exit codes."""
        for process in self.processes.values():
            if process.poll() is None:
                process.send_signal(number)
        return {name: process.wait(20) for name, process in self.processes.items()}

    def close(self) -> None:
        for process in self.processes.values():
            if process.poll() is None:
                process.kill()
                process.wait()
        self.executor.shutdown()
        for node in self.nodes:
            self._end(node)

    @staticmethod
    def _end(node: Any) -> None:
        from robo_stow_nodes.shell import destroy_actions

        destroy_actions(node)
        node.destroy_node()


@pytest.fixture
def graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Graph]:
    rclpy = pytest.importorskip("rclpy", reason="needs ROS 2")
    # Runs side by side on one machine must not hear one another.
    monkeypatch.setenv("ROS_DOMAIN_ID", str(1 + os.getpid() % 100))
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    rclpy.init(args=[], signal_handler_options=rclpy.signals.SignalHandlerOptions.NO)
    graph = Graph(tmp_path, dict(os.environ))
    yield graph
    graph.close()
    rclpy.shutdown()


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Building:
    """A small site with a ledger."""
    return corner_shop(tmp_path_factory.mktemp("shop"))


@pytest.fixture(scope="session")
def server() -> Iterator[PrivateServer]:
    """A PostgreSQL server of the tests' own."""
    programs = find_programs()
    if programs is None:
        pytest.skip("needs a PostgreSQL server (Debian package postgresql)")
    server = PrivateServer(programs, durable=False)  # clients are killed here, not machines
    yield server
    server.stop()


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """URL of an empty database."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/ledger.sqlite"
    else:
        server: PrivateServer = request.getfixturevalue("server")
        yield server.fresh()
