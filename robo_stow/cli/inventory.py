"""``robo-stow inventory``: questions to a ledger, also while a site is running on it."""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from robo_stow.cli.options import count
from robo_stow.errors import InputError
from robo_stow.inventory import queries
from robo_stow.inventory.audit import audit
from robo_stow.inventory.counts import bins_to_count
from robo_stow.inventory.database import parse_url
from robo_stow.inventory.ledger import Ledger

FILE = "ledger.sqlite"
"""Name of the ledger in a run's output folder."""
MAGIC = b"SQLite format 3\0"
"""How the file of a SQLite database begins."""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "inventory",
        help="ask the ledger: find, audit, export, history, counts",
        description="Questions to the ledger of a run; they change nothing.",
    )
    questions = parser.add_subparsers(dest="inventory", metavar="QUESTION", required=True)

    find = _question(questions, "find", "where the pieces of a SKU are")
    find.add_argument("sku", metavar="SKU")
    find.set_defaults(run=_find)

    check = _question(
        questions,
        "audit",
        "derive all positions from the movements again and compare; exit code 1: they differ",
    )
    check.set_defaults(run=_audit)

    export = _question(questions, "export", "all stock, or all movements")
    export.add_argument(
        "what",
        nargs="?",
        choices=("stock", "movements"),
        default="stock",
        help="default: %(default)s",
    )
    export.set_defaults(run=_export, format="csv")

    counts = _question(questions, "counts", "which bins to count next, by risk")
    counts.add_argument("--most", type=count, default=20, metavar="N", help="default: %(default)s")
    counts.set_defaults(run=_counts)

    history = _question(questions, "history", "movements, oldest first")
    history.add_argument("sku", metavar="SKU", nargs="?")
    history.add_argument("--order", metavar="ORDER")
    history.add_argument("--pallet", metavar="PALLET")
    history.add_argument("--bin", type=int, metavar="N")
    history.add_argument(
        "--last",
        type=int,
        default=100,
        metavar="N",
        help="only the newest N; 0 for all (default: %(default)s)",
    )
    history.set_defaults(run=_history)


def _question(questions: Any, name: str, text: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = questions.add_parser(name, help=text, description=text)
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--out",
        type=Path,
        default=Path("out/demo"),
        metavar="DIR",
        help=f"folder of the run, with its {FILE} (default: %(default)s)",
    )
    source.add_argument(
        "--database", metavar="URL", help="the ledger, as a SQLAlchemy URL, instead of --out"
    )
    parser.add_argument("--format", choices=("table", "csv", "json"), default="table")
    return parser


@contextmanager
def _ledger(args: argparse.Namespace) -> Iterator[Ledger]:
    """The ledger asked for; it must exist."""
    if args.database is None:
        file = args.out / FILE if args.out.is_dir() else args.out
        _check_file(file, "--out", str(args.out))
        database = f"sqlite:///{file}"
    else:
        database = args.database
        url = parse_url(database)
        if url.get_backend_name() == "sqlite":
            _check_file(Path(url.database or ""), "--database", database)
    ledger = Ledger(database)
    try:
        ledger.load()
        yield ledger
    finally:
        ledger.close()


def _check_file(file: Path, option: str, value: str) -> None:
    """A question must not make a ledger, nor of an empty file."""
    try:
        with file.open("rb") as content:
            start = content.read(len(MAGIC))
    except (OSError, ValueError):
        why = f"no ledger at {file}; `robo-stow run demo` writes out/demo/{FILE}"
    else:
        if start == MAGIC:
            return
        why = f"{file} is not a database" if start else f"{file} is empty, it holds no ledger"
    raise InputError("inventory", option, value, why)


def _find(args: argparse.Namespace) -> int:
    with _ledger(args) as ledger:
        answer = queries.stock(ledger, args.sku)
    _show(answer, args.format)
    return 0


def _audit(args: argparse.Namespace) -> int:
    with _ledger(args) as ledger:
        findings = audit(ledger)
    if args.format == "table":
        print("\n".join(findings) or "every position follows from the movements")
    else:
        _show((("finding",), [(line,) for line in findings]), args.format)
    return 1 if findings else 0


def _export(args: argparse.Namespace) -> int:
    with _ledger(args) as ledger:
        answer = queries.stock(ledger) if args.what == "stock" else queries.history(ledger)
    _show(answer, args.format)
    return 0


def _counts(args: argparse.Namespace) -> int:
    with _ledger(args) as ledger:
        answer = bins_to_count(ledger, args.most)
    _show(answer, args.format)
    return 0


def _history(args: argparse.Namespace) -> int:
    with _ledger(args) as ledger:
        answer = queries.history(
            ledger,
            sku=args.sku,
            order=args.order,
            pallet=args.pallet,
            bin_=args.bin,
            last=args.last if args.last > 0 else None,
        )
    _show(answer, args.format)
    return 0


def _show(answer: queries.Answer, form: str) -> None:
    """Print rows: JSON as a list of objects, CSV with a header, or an aligned table."""
    columns, rows = answer
    if form == "json":
        objects = [dict(zip(columns, row, strict=True)) for row in rows]
        json.dump(objects, sys.stdout, indent=1, default=str)
        print()
    elif form == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
    else:
        # Columns without any value only widen the table.
        shown = [i for i in range(len(columns)) if any(row[i] not in (None, "") for row in rows)]
        shown = shown or list(range(len(columns)))
        cells = [[_cell(row[i]) for i in shown] for row in rows]
        head = [columns[i] for i in shown]
        widths = [max(map(len, column)) for column in zip(head, *cells, strict=True)]
        right = [all(isinstance(row[i], (int, float, type(None))) for row in rows) for i in shown]
        for line in (head, *cells):
            parts = zip(line, widths, right, strict=True)
            print("  ".join(c.rjust(w) if r else c.ljust(w) for c, w, r in parts).rstrip())


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.1f}" if isinstance(value, float) else str(value)
