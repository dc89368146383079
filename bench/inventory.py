"""Ledger: confirmed requests a second on each database, and answers at a million bins.

Writes ``out/bench/inventory.json``. A request counts when its reply is durable: SQLite in memory
is there to show what the disk costs. PostgreSQL is measured when a server is installed.
"""

from __future__ import annotations

import json
import multiprocessing
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from robo_stow.floor.building import Building, CellKind, Grid
from robo_stow.floor.load import load_building
from robo_stow.inventory import queries
from robo_stow.inventory.core import InventoryCore
from robo_stow.inventory.ledger import Ledger
from robo_stow.inventory.private_server import PrivateServer, find_programs
from robo_stow.messages import (
    PickRequest,
    ProposeRequest,
    ReceiveRequest,
    ReserveRequest,
    ShipRequest,
    StockLevels,
    StowRequest,
)

OUT = Path("out/bench/inventory.json")
CYCLES = 150
"""Times a writer receives, stows, reserves, picks and ships: five requests each."""
WRITERS = 4
GROUP = 32
MILLION_PODS = 41_667  # of 24 bins


def cycle(name: str, bin_: int, sku: str) -> list[Any]:
    """The life of one piece."""
    return [
        ReceiveRequest(f"r{name}", f"p{name}", (sku,), (1,)),
        StowRequest(f"s{name}", f"p{name}", bin_, sku, 1),
        ReserveRequest(f"v{name}", (name,), (bin_,), (sku,), (1,)),
        PickRequest(f"k{name}", name, bin_, sku, 1, 0),
        ShipRequest(f"h{name}", name),
    ]


def stream(ledger: Ledger, writer: int) -> list[Any]:
    """Requests of one writer, in pods of its own."""
    codes = list(ledger.skus)
    bins = ledger.site.bins_per_pod
    requests: list[Any] = []
    for number in range(CYCLES):
        pod = writer * 50 + number % 50
        name = f"{writer}-{number}"
        requests += cycle(name, pod * bins + number % bins, codes[number % len(codes)])
    return requests


def book(database: str, writer: int, group: int) -> tuple[int, float]:
    """Requests granted, and seconds taken."""
    ledger = Ledger(database)
    ledger.load()
    requests = stream(ledger, writer)
    start = time.perf_counter()
    done = 0
    for first in range(0, len(requests), group):
        bookings = ledger.book(requests[first : first + group], float(first))
        done += sum(booking.reply.ok for booking in bookings)
    seconds = time.perf_counter() - start
    ledger.close()
    return done, seconds


def throughput(building: Building, fresh: Callable[[], str]) -> dict[str, float]:
    """Confirmed requests a second: one writer, one writer in groups, several writers."""
    result = {}
    for name, group in (("one_writer", 1), (f"one_writer_groups_of_{GROUP}", GROUP)):
        database = fresh()
        InventoryCore(building, 1, database).close()
        done, seconds = book(database, 0, group)
        result[name] = round(done / seconds, 1)
    database = fresh()
    InventoryCore(building, 1, database).close()
    context = multiprocessing.get_context("fork")
    queue = context.Queue()

    def work(writer: int) -> None:
        queue.put(book(database, writer, 1))

    start = time.perf_counter()
    workers = [context.Process(target=work, args=(writer,)) for writer in range(WRITERS)]
    for worker in workers:
        worker.start()
    done = sum(queue.get(timeout=600)[0] for _ in workers)
    result[f"{WRITERS}_writers"] = round(done / (time.perf_counter() - start), 1)
    for worker in workers:
        worker.join()
    core = InventoryCore(building, 1, database)
    findings = core.audit()
    core.close()
    if findings:
        sys.exit(f"bench: the audit finds {findings[0]}")
    return result


def in_memory(building: Building) -> dict[str, float]:
    """Requests a second of a core whose ledger is in memory, as `robo-stow simulate` uses it."""
    core = InventoryCore(building, 1, "sqlite://")
    requests = stream(core.ledger, 0)
    start = time.perf_counter()
    done = sum(core.handle(request, 0.0)[0].ok for request in requests)
    seconds = time.perf_counter() - start
    core.close()
    return {"one_writer": round(done / seconds, 1)}


def million(building: Building, database: str) -> dict[str, Any]:
    """Times of questions and bookings (ms, median and worst of 200) at a million bins."""
    side = 220
    grid = Grid(
        side,
        side,
        1.0,
        np.full(side * side, CellKind.STORAGE, np.uint8),
        np.zeros(side * side, np.uint8),
        np.zeros(side * side, np.float32),
    )
    site = replace(building, name="million", pods=MILLION_PODS, grid=grid)
    site = replace(site, stock=replace(site.stock, fill=0.2))
    start = time.perf_counter()
    core = InventoryCore(site, 1, database)
    result: dict[str, Any] = {
        "bins": MILLION_PODS * site.pod.bins,
        "open_seconds": round(time.perf_counter() - start, 1),
    }
    levels = core.step(0.0, [])[0]
    assert isinstance(levels, StockLevels)
    result["stock_rows"] = len(levels.bin)
    result["pieces"] = sum(levels.on_hand)
    codes = list(core.ledger.skus)
    rng = np.random.default_rng(1)
    at = rng.choice(len(levels.bin), 200, replace=False)
    core.handle(ReceiveRequest("p", "p", tuple(codes[:30]), (1000,) * 30), 1.0)
    pods = rng.integers(0, MILLION_PODS, 200)

    def propose(i: int) -> None:
        core.handle(ProposeRequest(f"q{i}", "p", int(pods[i]), i % 4), 1.0)

    def reserve(i: int) -> None:
        place = ((levels.bin[at[i]],), (levels.sku[at[i]],))
        assert core.handle(ReserveRequest(f"v{i}", (f"o{i}",), *place, (1,)), 1.0)[0].granted

    def pick(i: int) -> None:
        place = (levels.bin[at[i]], levels.sku[at[i]])
        assert core.handle(PickRequest(f"k{i}", f"o{i}", *place, 1, 0), 1.0)[0].ok

    def find(i: int) -> None:
        queries.stock(core.ledger, codes[i * 7 % len(codes)])

    for name, call in (("propose", propose), ("reserve", reserve), ("pick", pick), ("find", find)):
        times = []
        for i in range(200):
            start = time.perf_counter()
            call(i)
            times.append(1e3 * (time.perf_counter() - start))
        result[f"{name}_ms"] = {
            "median": round(statistics.median(times), 3),
            "worst": round(max(times), 3),
        }
    for name, check in (("check_totals", core.check_totals), ("audit", core.audit)):
        start = time.perf_counter()
        findings = check()
        result[f"{name}_seconds"] = round(time.perf_counter() - start, 2)
        if findings:
            sys.exit(f"bench: {name} finds {findings[0]}")
    core.close()
    start = time.perf_counter()
    core = InventoryCore(site, 1, database)
    core.step(0.0, [])
    result["restart_seconds"] = round(time.perf_counter() - start, 1)
    core.close()
    return result


def main() -> None:
    """Measure; the result is written after each part, the long ones come last."""
    demo = load_building("demo")
    rates: dict[str, Any] = {"sqlite in memory": in_memory(demo)}
    large: dict[str, Any] = {}
    result = {"requests_per_second": rates, "at_a_million_bins": large}
    server = None
    programs = find_programs()
    if programs is None:
        print("bench: no PostgreSQL server installed, not measured", file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        number = iter(range(100))

        def file() -> str:
            return f"sqlite:///{folder}/{next(number)}.sqlite"

        try:
            rates["sqlite file"] = throughput(demo, file)
            save(result)
            if programs is not None:
                server = PrivateServer(programs)
                rates["postgresql"] = throughput(demo, server.fresh)
                save(result)
            large["sqlite file"] = million(demo, file())
            save(result)
            if server is not None:
                large["postgresql"] = million(demo, server.fresh())
                save(result)
        finally:
            if server is not None:
                server.stop()
    print(json.dumps(result, indent=2))


def save(result: dict[str, Any]) -> None:
    """Write what has been measured so far."""
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
