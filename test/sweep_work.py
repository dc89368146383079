"""Work of cells in `test_sweep.py`: other processes have to be able to import it."""

from __future__ import annotations

import time

from robo_stow.cells import Cell, Result
from robo_stow.errors import InputError

STUDY = {"what": "squares"}


def square(cell: Cell) -> Result:
    """Work that leaves a trace each time it is done."""
    if "trace" in cell:
        with open(cell["trace"], "a", encoding="utf-8") as file:
            file.write(f"{cell['n']}\n")
    time.sleep(cell.get("sleep", 0.0))
    if cell["n"] < 0:
        raise InputError("cell", "n", cell["n"], "must not be negative")
    return {"square": cell["n"] ** 2}
