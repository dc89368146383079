"""``robo-stow forecast``: what will be ordered, and what follows from it."""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TextIO

from robo_stow.cli.options import days, output_file, positive, write_json, writing
from robo_stow.forecast.backtest import HORIZON, backtest
from robo_stow.forecast.demand import daily_demand
from robo_stow.forecast.plan import policies, reorder, shipments, shipments_backtest
from robo_stow.fulfilment.orderfile import read_order_lines

MOST = 3
"""Pieces of a line that count for bins: what goes beyond leaves in full cases (orders.py)."""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "forecast",
        help="demand by SKU: backtest, what to reorder, what to send where",
        description="Forecast demand from a file of order lines.",
    )
    questions = parser.add_subparsers(dest="question", metavar="QUESTION", required=True)

    test = questions.add_parser(
        "backtest", help="errors against a seasonal-naive baseline, from rolling origins"
    )
    test.set_defaults(run=_backtest)

    again = questions.add_parser("reorder", help="reorder point and lot of each SKU, as CSV")
    again.add_argument(
        "--lead-days", type=days, default=2, metavar="N", help="trading days (default: 2)"
    )
    again.add_argument(
        "--lot-days",
        type=days,
        default=12,
        metavar="N",
        help="trading days that a lot lasts (default: 12)",
    )
    again.add_argument(
        "--service",
        type=_share,
        default=0.98,
        metavar="P",
        help="probability not to run out before a lot comes (default: 0.98)",
    )
    again.set_defaults(run=_reorder)

    send = questions.add_parser(
        "regions", help="what to send to which region before it is ordered, as CSV"
    )
    send.add_argument(
        "--confidence",
        type=_share,
        default=0.8,
        metavar="P",
        help="probability that all pieces are ordered there within a week (default: 0.8)",
    )
    send.set_defaults(run=_regions)

    for one in (test, again, send):
        one.add_argument("orders", metavar="CSV", help="order lines of the past")
        one.add_argument(
            "--out", type=output_file, metavar="FILE", help="write here (default: stdout)"
        )
    test.add_argument(
        "--confidence", type=_share, default=0.8, metavar="P", help="of regions (default: 0.8)"
    )


def _backtest(args: argparse.Namespace) -> int:
    lines = read_order_lines(args.orders)
    demand = daily_demand(lines, most=MOST, source=args.orders)
    result: dict[str, Any] = {
        "orders": Path(args.orders).name,
        "lines": backtest(demand.lines, demand.weekday, args.orders),
        "pieces": backtest(demand.pieces, demand.weekday, args.orders),
        "reorder": policies(demand),
    }
    if (lines.region != "").any():
        result["regions"] = shipments_backtest(
            lines, confidence=args.confidence, source=args.orders
        )
    if args.out is None:
        print(json.dumps(result, indent=2))
        return 0
    write_json(args.out, result)
    for what in ("lines", "pieces"):
        print(f"  {what:<24} {'RMSSE':>7} {'MASE':>7} {'WAPE of the week':>17} {'bias':>7}")
        for name, found in result[what]["models"].items():
            print(
                f"    {name:<22} {found['rmsse']:7.3f} {found['mase']:7.3f} "
                f"{found['week_wape']:17.3f} {found['bias']:7.1%}"
            )
    return 0


def _reorder(args: argparse.Namespace) -> int:
    demand = daily_demand(read_order_lines(args.orders), most=MOST, source=args.orders)
    rows = reorder(demand, lead_days=args.lead_days, lot_days=args.lot_days, service=args.service)
    names = ("sku", "pieces_a_day", "reorder_point", "lot")
    _write(args.out, names, ((r.sku, f"{r.daily:.3f}", r.point, r.lot) for r in rows))
    return 0


def _regions(args: argparse.Namespace) -> int:
    lines = read_order_lines(args.orders)
    rows = shipments(lines, confidence=args.confidence, source=args.orders)
    names = ("region", "sku", "pieces", f"expected_in_{HORIZON}_days")
    _write(args.out, names, ((r.region, r.sku, r.pieces, f"{r.expected:.2f}") for r in rows))
    return 0


def _write(path: Path | None, names: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    if path is None:
        _table(sys.stdout, names, rows)
        return
    with writing(path), open(path, "w", newline="", encoding="utf-8") as file:
        _table(file, names, rows)


def _table(file: TextIO, names: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(rows)


def _share(text: str) -> float:
    value = positive(text)
    if value >= 1.0:
        raise argparse.ArgumentTypeError(f"{text!r} is not between 0 and 1")
    return value
