"""The control room over real HTTP, and its page in a real browser where there is one."""

from __future__ import annotations

import http.client
import json
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

import numpy as np
import pytest

from robo_stow.errors import InputError
from robo_stow.floor.load import load_building
from robo_stow.simulate import Loop
from robo_stow.warehouse import Warehouse, build_warehouse
from robo_stow.web import picture
from robo_stow.web.server import HOST, ControlRoom

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def site() -> tuple[Warehouse, Loop]:
    building = load_building("demo")
    warehouse = build_warehouse(building, building.seed, database="sqlite://")
    return warehouse, Loop(warehouse.cores)


class Running:
    """A control room, kept up to date while a site runs in a thread."""

    def __init__(self, site: tuple[Warehouse, Loop]) -> None:
        self.warehouse, self.loop = site
        self.room = ControlRoom(self.warehouse.monitor, 0)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._ended.wait(0.01):
            self.loop.tick()
            self.room.show()

    def __enter__(self) -> ControlRoom:
        self._thread.start()
        return self.room

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self.room.close()


def moments(url: str) -> list[dict]:
    """Three moments as a browser gets them."""
    found = []
    with urllib.request.urlopen(url + "moments", timeout=20) as stream:
        assert stream.headers["Content-Type"] == "text/event-stream"
        while len(found) < 3:
            line = stream.readline().decode()
            if line.startswith("data: "):
                found.append(json.loads(line[6:]))
    return found


def test_the_page_shows_where_everything_is(site: tuple[Warehouse, Loop]) -> None:
    warehouse, _ = site
    building = warehouse.building
    with Running(site) as room:
        with urllib.request.urlopen(room.url + "floor", timeout=20) as answer:
            floor = json.load(answer)
        assert len(floor["kind"]) == floor["width"] * floor["height"] == building.grid.cells
        assert {s["id"] for s in floor["stations"]} == {s.id for s in building.stations}
        seen = moments(room.url)
    assert seen[0]["now"] < seen[1]["now"] < seen[2]["now"]
    for moment in seen:
        assert moment["unit"] == list(range(building.units))
        assert {len(moment[key]) for key in ("x", "y", "yaw", "load", "status", "battery")} == {
            building.units
        }
        assert all(0 <= x <= 100 * building.grid.width * building.grid.pitch for x in moment["x"])
        # Each pod stands on the floor or is carried.
        carried = sum(load == 1 for load in moment["load"])
        assert abs(len(moment["pods"]) + carried - building.pods) <= building.units
        assert moment["figures"]["conflicts"] == 0


def test_a_listener_hears_the_last_moment_and_the_end(site: tuple[Warehouse, Loop]) -> None:
    warehouse, loop = site
    running = Running(site)
    with running as room:
        stream = urllib.request.urlopen(room.url + "moments", timeout=20)
        stream.readline()
    text = stream.read().decode()
    assert text.endswith("event: end\ndata:\n\n")
    last = [line for line in text.splitlines() if line.startswith("data: ")][-1]
    assert json.loads(last[6:])["now"] == pytest.approx(loop.now)


def test_a_listener_that_goes_away_or_sleeps_delays_nobody(site: tuple[Warehouse, Loop]) -> None:
    with Running(site) as room:
        urllib.request.urlopen(room.url + "moments", timeout=20).close()
        with socket.create_connection((HOST, room.port)) as sleeper:
            sleeper.sendall(b"GET /moments HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert len(moments(room.url)) == 3


def test_there_is_nothing_else_to_get(site: tuple[Warehouse, Loop]) -> None:
    with Running(site) as room:
        for path in ("server.py", "../server.py", "%2e%2e/server.py", "page/"):
            with pytest.raises(urllib.error.HTTPError) as error:
                urllib.request.urlopen(room.url + path, timeout=20)
            assert error.value.code == 404


@pytest.mark.parametrize(
    ("host", "code"), [("elsewhere.example", 403), ("localhost:{port}", 200), ("[::1", 403)]
)
def test_only_pages_from_here_are_answered(
    site: tuple[Warehouse, Loop], host: str, code: int
) -> None:
    with Running(site) as room:
        connection = http.client.HTTPConnection(HOST, room.port, timeout=20)
        connection.putrequest("GET", "/floor", skip_host=True)
        connection.putheader("Host", host.format(port=room.port))
        connection.endheaders()
        assert connection.getresponse().status == code


def test_a_port_in_use_is_named(site: tuple[Warehouse, Loop]) -> None:
    with socket.create_server((HOST, 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(InputError, match=rf"port = {port}: .*in use"):
            ControlRoom(site[0].monitor, port)


def test_the_monitor_node_serves_it() -> None:
    pytest.importorskip("robo_stow_nodes.monitor", exc_type=ImportError)
    with socket.create_server((HOST, 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "robo_stow_nodes.monitor", "--ros-args"]
    node = subprocess.Popen([*command, "-p", f"web:={port}", "-p", "use_sim_time:=false"])
    try:
        deadline = time.monotonic() + 60.0
        while True:
            try:
                urllib.request.urlopen(f"http://{HOST}:{port}/", timeout=20).close()
                break
            except urllib.error.URLError:
                assert node.poll() is None and time.monotonic() < deadline
                time.sleep(0.1)
        assert len(moments(f"http://{HOST}:{port}/")) == 3
        node.terminate()
        assert node.wait(timeout=30) == 0
    finally:
        node.kill()


def test_the_page_has_everything_where_it_is(site: tuple[Warehouse, Loop]) -> None:
    monitor = site[0].monitor
    grid = monitor.building.grid
    floor = picture.floor(monitor.building)
    width, height = floor["width"], floor["height"]

    def there(cells: list[int]) -> list[int]:
        """Cells of the grid at the points where the page draws its cells."""
        row, column = np.divmod(np.array(cells), width)
        at = grid.cell_at((column + 0.5) * floor["pitch"], (row + 0.5) * floor["pitch"])
        return [int(cell) for cell in at]

    drawn = there(list(range(width * height)))
    assert [int(kind) for kind in floor["kind"]] == grid.kind[drawn].tolist()
    for key, sites in (
        ("stations", monitor.building.stations),
        ("lifters", monitor.building.lifters),
    ):
        assert there([s["cell"] for s in floor[key]]) == [s.cell for s in sites]
    standing = monitor.pods[monitor.pods >= 0].tolist()
    assert there(picture.moment(monitor)["pods"]) == standing


@pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")
def test_a_browser_draws_it(site: tuple[Warehouse, Loop], tmp_path: object) -> None:
    with Running(site) as room:
        # With a budget of virtual time the browser waits for the end of what it listens to.
        command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
        command += ["--virtual-time-budget=2000", f"--user-data-dir={tmp_path}", room.url]
        browser = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        deadline = time.monotonic() + 60.0
        while not room.listeners and time.monotonic() < deadline:
            time.sleep(0.05)
    page = browser.communicate(timeout=60)[0]
    assert "Robo-Stow: demo" in page
    assert "<td>Conflicts</td><td>0</td>" in page
    assert "the run has ended" in page
