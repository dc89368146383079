"""Ledger: confirmed movements a second on each database, and answers at a million bins.

Writes ``out/bench/inventory.json``. A movement counts when its request's reply is durable: SQLite
in memory is there to show what the disk costs. PostgreSQL is measured when a server is installed.

The large site has 20,000 pods of 50 bins and 100,000 SKUs with sizes as the catalogue draws them,
equally asked for; its opening stock fills a quarter of the bins' volume.
"""

from __future__ import annotations

import argparse
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

from robo_stow.bench.machine import machine
from robo_stow.cli.answer import answer
from robo_stow.floor.building import Building, CellKind, Grid, Shelf
from robo_stow.floor.load import load_building
from robo_stow.inventory import queries
from robo_stow.inventory.catalogue import Catalogue, draw_sizes
from robo_stow.inventory.core import InventoryCore
from robo_stow.inventory.counts import bins_to_count
from robo_stow.inventory.fit import AMBIENT, GRAM, MM
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
PODS, SKUS, SIDE = 20_000, 100_000, 160
ASKED = 300
"""Times each question is asked at the large site."""


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
    """Requests of one writer, in pods of its own; each books one movement."""
    codes = list(ledger.skus)
    bins = ledger.site.bins_per_pod
    requests: list[Any] = []
    for number in range(CYCLES):
        pod = writer * 50 + number % 50
        name = f"{writer}-{number}"
        requests += cycle(name, pod * bins + number % bins, codes[number % len(codes)])
    return requests


def book(database: str, writer: int, group: int) -> tuple[int, float]:
    """Movements confirmed, and seconds taken."""
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
    """Confirmed movements a second: one writer, one writer in groups, several writers."""
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
    """Movements a second of a core whose ledger is in memory, as `robo-stow simulate` uses it."""
    core = InventoryCore(building, 1, "sqlite://")
    requests = stream(core.ledger, 0)
    start = time.perf_counter()
    done = sum(core.handle(request, 0.0)[0].ok for request in requests)
    seconds = time.perf_counter() - start
    core.close()
    return {"one_writer": round(done / seconds, 1)}


def large_site(building: Building) -> tuple[Building, Catalogue]:
    """20,000 pods of 50 bins, 100,000 SKUs."""
    cells = SIDE * SIDE
    grid = Grid(
        SIDE,
        SIDE,
        1.0,
        np.full(cells, CellKind.STORAGE, np.uint8),
        np.zeros(cells, np.uint8),
        np.zeros(cells, np.float32),
    )
    shelves = tuple(Shelf(5, 0.17, 0.42, 0.3, 15.0) for _ in range(5))
    pod = replace(building.pod, faces=2, shelves=shelves)
    site = replace(building, name="large", pods=PODS, grid=grid, pod=pod)
    site = replace(site, stock=replace(site.stock, fill=0.25))
    sku = tuple(f"{number:08d}" for number in range(SKUS))
    sides, grams = draw_sizes(sku, 1, pod)
    demand = np.full(SKUS, 1.0 / SKUS)
    size, weight = sides.astype(np.float64) * MM, grams.astype(np.float64) * GRAM
    catalogue = Catalogue(sku, size, weight, demand, (AMBIENT,) * SKUS, np.zeros(SKUS, bool))
    return site, catalogue


def at_a_million_bins(building: Building, database: str) -> dict[str, Any]:
    """Times at the large site."""
    site, catalogue = large_site(building)
    return {
        **opened(site, catalogue, database),
        **asked(site, catalogue, database),
        **checked(site, catalogue, database),
    }


def opened(site: Building, catalogue: Catalogue, database: str) -> dict[str, Any]:
    """Make the ledger and book the opening stock."""
    start = time.perf_counter()
    core = InventoryCore(site, 1, database, catalogue)
    seconds = time.perf_counter() - start
    levels = core.step(0.0, [])[0]
    assert isinstance(levels, StockLevels)
    core.close()
    return {
        "pods": PODS,
        "bins": PODS * site.pod.bins,
        "skus": SKUS,
        "stock_rows": len(levels.bin),
        "pieces": sum(levels.on_hand),
        "open_seconds": round(seconds, 1),
    }


def asked(site: Building, catalogue: Catalogue, database: str) -> dict[str, Any]:
    """Restart, then questions and bookings, ms: median, 99th percentile, worst."""
    start = time.perf_counter()
    core = InventoryCore(site, 1, database, catalogue)
    levels = core.step(0.0, [])[0]
    result: dict[str, Any] = {"restart_seconds": round(time.perf_counter() - start, 1)}
    assert isinstance(levels, StockLevels)
    rng = np.random.default_rng(1)
    at = rng.choice(len(levels.bin), ASKED, replace=False)
    codes = catalogue.sku
    pallet = tuple(codes[i] for i in rng.choice(SKUS, 30, replace=False))
    core.handle(ReceiveRequest("p", "p", pallet, (1000,) * 30), 1.0)
    pods = rng.integers(0, PODS, ASKED)
    proposed: list[Any] = []

    def propose(i: int) -> None:
        proposed.append(core.handle(ProposeRequest(f"q{i}", "p", int(pods[i]), i % 2), 1.0)[0])

    def stow(i: int) -> None:
        if proposed[i].bin:
            place = (proposed[i].bin[0], proposed[i].sku[0])
            core.handle(StowRequest(f"s{i}", "p", *place, 1), 1.0)

    def reserve(i: int) -> None:
        place = ((levels.bin[at[i]],), (levels.sku[at[i]],))
        assert core.handle(ReserveRequest(f"v{i}", (f"o{i}",), *place, (1,)), 1.0)[0].granted

    def pick(i: int) -> None:
        place = (levels.bin[at[i]], levels.sku[at[i]])
        assert core.handle(PickRequest(f"k{i}", f"o{i}", *place, 1, 0), 1.0)[0].ok

    def find(i: int) -> None:
        assert queries.stock(core.ledger, codes[i * 97 % SKUS])[1]

    def history(i: int) -> None:
        assert queries.history(core.ledger, sku=codes[i * 97 % SKUS])[1]

    calls = {
        "propose": propose,
        "stow": stow,
        "reserve": reserve,
        "pick": pick,
        "find": find,
        "history": history,
    }
    for name, call in calls.items():
        times = []
        for i in range(ASKED):
            start = time.perf_counter()
            call(i)
            times.append(1e3 * (time.perf_counter() - start))
        result[f"{name}_ms"] = {
            "median": round(statistics.median(times), 3),
            "p99": round(float(np.quantile(times, 0.99)), 3),
            "worst": round(max(times), 3),
        }
    result["proposals_with_a_bin"] = sum(bool(reply.bin) for reply in proposed)
    core.close()
    return result


def checked(site: Building, catalogue: Catalogue, database: str) -> dict[str, Any]:
    """Checks of the whole ledger, s."""
    core = InventoryCore(site, 1, database, catalogue)
    result = {}
    checks: dict[str, Callable[[], Any]] = {
        "counts": lambda: bins_to_count(core.ledger, 20) and None,
        "check_totals": core.check_totals,
        "audit": core.audit,
    }
    for name, check in checks.items():
        start = time.perf_counter()
        findings = check()
        result[f"{name}_seconds"] = round(time.perf_counter() - start, 2)
        if findings:
            sys.exit(f"bench: {name} finds {findings[0]}")
    core.close()
    return result


def main() -> None:
    """Measure; the result is written after each part, the long ones come last."""
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    demo = load_building("demo")
    rates: dict[str, Any] = {"sqlite in memory": in_memory(demo)}
    large: dict[str, Any] = {}
    result = {
        "date": time.strftime("%Y-%m-%d"),
        "machine": machine(),
        "command": "python bench/inventory.py",
        "confirmed_movements_per_second": rates,
        "at_a_million_bins": large,
    }
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
            large["sqlite file"] = at_a_million_bins(demo, file())
            save(result)
            if server is not None:
                large["postgresql"] = at_a_million_bins(demo, server.fresh())
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
    sys.exit(answer("bench", main))
