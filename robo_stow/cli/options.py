"""Types of command-line values, and the files that they name."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from robo_stow.errors import InputError


def positive(text: str) -> float:
    """A positive finite number (argparse type)."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0.0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
    return value


def count(text: str) -> int:
    """A whole number of at least 1 (argparse type)."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 1 or more")
    return int(text)


def port(text: str) -> int:
    """A TCP port (argparse type)."""
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port from 1 to 65535")
    return int(text)


def seed(text: str) -> int:
    """A seed of a building, as in its file and in the nodes' parameters (argparse type)."""
    if not text.isdecimal() or int(text) >= 2**31:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 to {2**31 - 1}")
    return int(text)


def days(text: str) -> int:
    """Trading days, of one year at most (argparse type)."""
    if count(text) > 366:
        raise argparse.ArgumentTypeError(f"{text!r} is more than 366 days")
    return int(text)


def output_file(text: str) -> Path:
    """A file that can be written (argparse type).

    Its folder is made; a file that was not there is not left behind. So a mistake shows before the
    work whose results go there.
    """
    path = Path(text)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        there = path.exists()
        path.open("ab").close()
        if not there:
            path.unlink()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise argparse.ArgumentTypeError(f"{text!r} cannot be written: {reason}") from None
    return path


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """While a file, or the files of a folder, are written.

    Raises:
        InputError: it cannot be written (any more).
    """
    try:
        yield
    except OSError as error:
        reason = f"cannot be written: {error.strerror or error}"
        raise InputError(path, "file", str(path), reason) from None


def write_json(path: Path, result: Any) -> None:
    """Write a result into a file.

    Raises:
        InputError: it cannot be written (any more).
    """
    with writing(path):
        path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def add_figures_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--out`` for `show_figures`."""
    parser.add_argument("--out", type=output_file, metavar="FILE.json", help="also write JSON here")


def show_figures(figures: Any, out: Path | None) -> None:
    """Print figures as one line of JSON, and write them into the file of ``--out`` if any."""
    if out is not None:
        write_json(out, figures)
    print(json.dumps(figures))
