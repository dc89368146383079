"""Killed at any moment: no acknowledged movement is lost, none is booked twice.

``python test/test_inventory_crash.py CRASHES FILE.json`` kills more often and writes what it found.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from select import select as wait_for
from typing import Any

from shop import SKUS, corner_shop, fork
from sqlalchemy import select

from robo_stow.floor.building import Building
from robo_stow.inventory import schema
from robo_stow.inventory.audit import audit, check_totals
from robo_stow.inventory.core import InventoryCore
from robo_stow.inventory.ledger import Ledger
from robo_stow.inventory.private_server import PrivateServer, find_programs
from robo_stow.inventory.requests import AdjustRequest, Booked
from robo_stow.messages import (
    PickRequest,
    ReceiveRequest,
    ReserveRequest,
    ShipRequest,
    StowRequest,
)

CRASHES = 500
"""Random points at which a process is killed, on each database."""
LANES = 3
CHECKED = 100
"""Crashes after which the whole ledger is looked at."""


def requests_of(lane: int) -> Iterator[Booked]:
    """What a lane asks, always the same: receive, stow, reserve, pick, ship, for ever.

    All lanes use the same bins.
    """
    rng = random.Random(lane)
    number = 0
    while True:
        name, sku, bin_ = f"{lane}-{number}", rng.choice(SKUS), rng.randrange(48)
        yield ReceiveRequest(f"r{name}", f"p{name}", (sku,), (4,))
        yield StowRequest(f"s{name}", f"p{name}", bin_, sku, 4)
        yield ReserveRequest(f"v{name}", (name,), (bin_,), (sku,), (4,))
        yield PickRequest(f"k{name}", name, bin_, sku, 3, 1)
        yield ShipRequest(f"h{name}", name)
        yield AdjustRequest(f"a{name}", sku, -4, "missing", pallet=f"p{name}")  # if not stowed
        number += 1


class Lane:
    """A client's requests in order, sent by one process after another.

    Each process goes on with the request that its predecessor had no answer to: that one may have
    been booked.
    """

    def __init__(self, database: str, number: int) -> None:
        self._database = database
        self._script = requests_of(number)
        self.asked = next(self._script)
        """The first request that nobody has heard an answer to."""
        self.moved: dict[str, bool] = {}
        """Acknowledged requests, and whether they have moved something."""
        self.start()

    def start(self) -> None:
        """Fork a process that books and says so in a pipe."""
        self.pipe, writer = os.pipe()
        self._process = fork.Process(target=self._work, args=(writer,))
        self._process.start()
        os.close(writer)
        self._heard = b""

    def _work(self, pipe: int) -> None:
        ledger = Ledger(self._database)
        ledger.load()
        for request in chain([self.asked], self._script):
            (booking,) = ledger.book([request], 1.0)
            moved = booking.reply.ok and any(booking.reply.granted)
            os.write(pipe, f"{booking.reply.key} {moved}\n".encode())

    def kill(self) -> list[str]:
        """SIGKILL; the keys that the process had acknowledged."""
        pid = self._process.pid
        assert pid is not None and self._process.is_alive()
        os.kill(pid, signal.SIGKILL)
        self._process.join()
        while part := os.read(self.pipe, 65536):
            self._heard += part
        os.close(self.pipe)
        keys = []
        for line in self._heard.decode().splitlines():
            key, moved = line.split()
            assert key == self.asked.key
            self.asked = next(self._script)
            keys.append(key)
            self.moved[key] = moved == "True"
        return keys


def kill_again_and_again(site: Building, database: str, crashes: int) -> dict[str, Any]:
    """Book in `LANES` processes at once, kill one at random, let another take over, and so on."""
    InventoryCore(site, 1, database).close()
    rng = random.Random(5)
    lanes = [Lane(database, number) for number in range(LANES)]
    ledger = Ledger(database)
    ledger.load()
    unheard = 0
    for crash in range(1, crashes + 1):
        talking, _, _ = wait_for([lane.pipe for lane in lanes], [], [], 60.0)
        assert talking, "no process books anything"
        lane = rng.choice([lane for lane in lanes if lane.pipe in talking])
        time.sleep(rng.random() * 0.012)  # somewhere within the bookings that follow
        acknowledged = lane.kill()
        with ledger.reading() as connection:
            found = connection.execute(
                select(schema.reply.c.key).where(
                    schema.reply.c.key.in_([*acknowledged, lane.asked.key])
                )
            ).scalars()
            booked = set(found)
        assert booked.issuperset(acknowledged)
        unheard += lane.asked.key in booked
        lane.start()
        if crash % CHECKED == 0:
            assert check_totals(ledger) == []
    for lane in lanes:
        lane.kill()
    moved = {key: any_ for lane in lanes for key, any_ in lane.moved.items()}
    with ledger.reading() as connection:
        booked = set(connection.execute(select(schema.reply.c.key)).scalars())
        m = schema.movement.c
        lines = [(key, line) for key, line in connection.execute(select(m.key, m.line))]
    assert moved.keys() <= booked
    assert len(lines) == len(set(lines))
    movements = {key for key, _ in lines}
    assert {key for key, any_ in moved.items() if any_} <= movements
    assert not {key for key, any_ in moved.items() if not any_} & movements
    # Beside what was acknowledged, each lane has one request at most that was booked unheard.
    assert len(booked - moved.keys() - {"opening"}) <= LANES
    assert audit(ledger) == []
    ledger.close()
    return {
        "crashes": crashes,
        "acknowledged": len(moved),
        "of_them_moved_stock": sum(moved.values()),
        "booked_but_killed_before_the_answer": unheard,
        "lost": 0,
        "booked_twice": 0,
    }


def test_kill_loses_no_acknowledged_movement(shop: Building, database: str) -> None:
    found = kill_again_and_again(shop, database, CRASHES)
    assert found["of_them_moved_stock"] > CRASHES // 2


def main() -> None:
    """Kill as often as asked on both databases; write the counts."""
    crashes, out = int(sys.argv[1]), Path(sys.argv[2])
    programs = find_programs()
    assert programs is not None, "needs a PostgreSQL server"
    server = PrivateServer(programs)
    found = {}
    try:
        with tempfile.TemporaryDirectory() as folder:
            site = corner_shop(Path(folder))
            for name, url in (
                ("sqlite", f"sqlite:///{folder}/l.sqlite"),
                ("postgresql", server.fresh()),
            ):
                start = time.monotonic()
                found[name] = kill_again_and_again(site, url, crashes)
                found[name]["seconds"] = round(time.monotonic() - start, 1)
    finally:
        server.stop()
    out.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
