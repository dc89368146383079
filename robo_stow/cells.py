"""Many independent runs ("cells") on all cores or on a cluster, each done once and kept.

A finished cell is on disk, as a line of its journal, before it counts as done: a study that was
stopped, also by SIGKILL, goes on where it stood. Only cells that were being computed at that moment
are computed again.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from hashlib import blake2b
from pathlib import Path
from types import TracebackType
from typing import Any

from robo_stow.errors import InputError, RoboStowError

Cell = Mapping[str, Any]
"""What one run is made from; values that JSON can hold."""
Result = dict[str, Any]
Outcome = Result | Exception


class Journal:
    """Results of the finished cells of one study, a JSON line each, kept in a file.

    Args:
        path: the file; the folder is made.
        study: what all cells share. A file with results of another study, or of another version
            of this package, is refused.

    Raises:
        InputError: the file cannot be used, belongs to another study, or is in use.
    """

    def __init__(self, path: Path, study: Mapping[str, Any]) -> None:
        self._path = path
        self._done: dict[str, Result] = {}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = open(path, "a+b")  # noqa: SIM115 - kept open, closed by `close`
        except OSError as error:
            raise InputError(path, "file", str(path), error.strerror or str(error)) from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise InputError(path, "file", str(path), "another run is writing to it") from None
        try:
            self._open({"program": program(), **json.loads(json.dumps(study))})
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self._done)

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def remove(self) -> None:
        """Forget the study: everything in it has been used."""
        self._path.unlink()

    def get(self, cell: Cell) -> Result | None:
        """Result of a finished cell; None when it has not been computed."""
        return self._done.get(_key(cell))

    def add(self, cell: Cell, result: Result) -> None:
        """Keep the result of a cell: it is on disk when this returns."""
        self._write({"cell": dict(cell), "result": result})
        self._done[_key(cell)] = result

    def _open(self, study: Any) -> None:
        self._file.seek(0)
        lines = self._file.read().split(b"\n")
        torn = lines.pop()  # empty, or what a killed process left of its last line
        if torn:
            self._file.truncate(self._file.seek(0, os.SEEK_END) - len(torn))
        if not lines:
            self._write({"study": study})
            return
        for number, line in enumerate(lines, 1):
            try:
                entry = json.loads(line)
                if number > 1:
                    self._done[_key(entry["cell"])] = entry["result"]
                elif entry["study"] == study:
                    continue
                elif len(lines) == 1:  # nothing is in it that could be lost
                    self._file.truncate(0)
                    self._write({"study": study})
                else:
                    raise InputError(
                        self._path,
                        "line 1",
                        _difference(entry["study"], study),
                        "begun with another study: name another folder, or remove the file",
                    )
            except (ValueError, KeyError, TypeError) as error:
                raise InputError(
                    self._path, f"line {number}", line[:60].decode(errors="replace"), str(error)
                ) from None

    def _write(self, entry: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(entry).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())


@cache
def program() -> str:
    """Digest of this package: results of another one are not those of this one."""
    digest = blake2b(digest_size=8)
    here = Path(__file__).parent
    for file in sorted([*here.rglob("*.py"), *here.glob("_core*.so")]):
        digest.update(str(file.relative_to(here)).encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def run_cells(
    work: Callable[[Cell], Result],
    cells: Sequence[Cell],
    journal: Journal,
    *,
    jobs: int = -1,
    scheduler: str | None = None,
    progress: Callable[[int, int, Cell, Result], None] | None = None,
) -> list[Result]:
    """Results of all cells in their order; those in the journal are not computed again.

    A cell that fails by a mistake of the user's does not keep the others from being computed: its
    error is raised at the end.

    Args:
        work: function of a module, so that other processes can import it.
        jobs: processes on this machine, through joblib; -1: one a core.
        scheduler: address of a Dask scheduler, e.g. ``tcp://10.0.0.1:8786``, whose workers compute
            instead; they need this package.
        progress: told of each new result: cells done, cells in all, the cell, its result.

    Raises:
        RoboStowError: joblib or Dask is missing, or the scheduler or its workers cannot be used.
    """
    open_cells = list({_key(c): c for c in cells if journal.get(c) is None}.values())
    if open_cells:
        compute = _local(work, open_cells, jobs)
        if scheduler is not None:
            compute = _cluster(work, open_cells, scheduler)
        total = len({_key(c) for c in cells})
        done, failed = total - len(open_cells), None
        for index, outcome in compute:
            if isinstance(outcome, RoboStowError):
                failed = failed or outcome
                continue
            if isinstance(outcome, Exception):
                raise outcome
            journal.add(open_cells[index], outcome)
            done += 1
            if progress is not None:
                progress(done, total, open_cells[index], outcome)
        if failed is not None:
            raise failed
    found = [journal.get(cell) for cell in cells]
    return [result for result in found if result is not None]


def _key(cell: Cell) -> str:
    return json.dumps(cell, sort_keys=True)


def _difference(old: Any, new: Any) -> str:
    if isinstance(old, dict) and isinstance(new, dict):
        for name in sorted({*old, *new}):
            if old.get(name) != new.get(name):
                return f"{name}: {old.get(name)!r:.60}, now {new.get(name)!r:.60}"
    return str(old)[:120]


def _task(
    work: Callable[[Cell], Result], index: int, cell: Cell, owner: int
) -> tuple[int, Outcome]:
    if owner not in (os.getpid(), os.getppid()):
        os._exit(1)  # nobody is left who could keep the result
    try:
        return index, work(cell)
    except Exception as error:
        return index, error


def _local(
    work: Callable[[Cell], Result], cells: Sequence[Cell], jobs: int
) -> Iterator[tuple[int, Outcome]]:
    try:
        from joblib import Parallel, delayed
    except ImportError:
        raise RoboStowError("joblib is missing: pip install joblib") from None
    tasks = (delayed(_task)(work, index, cell, os.getpid()) for index, cell in enumerate(cells))
    yield from Parallel(
        n_jobs=jobs, return_as="generator_unordered", batch_size=1, pre_dispatch="n_jobs"
    )(tasks)


def _cluster(
    work: Callable[[Cell], Result], cells: Sequence[Cell], scheduler: str
) -> Iterator[tuple[int, Outcome]]:
    try:
        from distributed import Client, as_completed
        from distributed.scheduler import KilledWorker
    except ImportError:
        raise RoboStowError("Dask is missing: pip install distributed") from None
    try:
        client = Client(scheduler, timeout=10)
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            "command line", "--scheduler", scheduler, f"no Dask scheduler answers: {error}"
        ) from None
    with client:
        if not client.scheduler_info()["workers"]:
            raise InputError("command line", "--scheduler", scheduler, "it has no workers")
        futures = {client.submit(work, cell, pure=False): i for i, cell in enumerate(cells)}
        for future in as_completed(futures):
            outcome = future.exception()
            if outcome is None:
                outcome = future.result()
            elif isinstance(outcome, ModuleNotFoundError):
                outcome = RoboStowError(f"the workers of {scheduler} lack {outcome.name}")
            elif isinstance(outcome, KilledWorker):
                outcome = RoboStowError(f"workers of {scheduler} died: {outcome}")
            yield futures[future], outcome
