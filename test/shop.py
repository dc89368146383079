"""A corner shop for the tests of the ledger: 6 pods of 8 bins, 5 SKUs."""

from __future__ import annotations

import gzip
import multiprocessing
from dataclasses import replace
from pathlib import Path

from robo_stow.floor.building import Building, Shelf
from robo_stow.floor.load import load_building

SKUS = ("10001A", "10001B", "20002", "30003", "40004")
fork = multiprocessing.get_context("fork")


def corner_shop(folder: Path) -> Building:
    """The building, with an order file of its own in ``folder``."""
    lines = [
        f"{order},{sku},1,2011-01-03T10:{order:02d}:00,1.0,1,United Kingdom,sale"
        for order in range(10)
        for sku in SKUS[: 1 + order % len(SKUS)]
    ]
    head = "InvoiceNo,StockCode,Quantity,InvoiceDate,UnitPrice,CustomerID,Country,kind"
    file = folder / "orders.csv.gz"
    with gzip.open(file, "wt") as stream:
        stream.write("\n".join([head, *lines, ""]))
    demo = load_building("demo")
    return replace(
        demo,
        pods=6,
        orders=replace(demo.orders, file=str(file)),
        pod=replace(
            demo.pod,
            faces=2,
            usable=0.8,
            shelves=(Shelf(1, 0.4, 0.3, 0.25, 10.0), Shelf(3, 0.2, 0.3, 0.25, 8.0)),
            capacity=60.0,
        ),
        stock=replace(demo.stock, fill=0.1, cover_pieces=6),
    )
