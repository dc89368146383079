"""Loads the C core, the shared library `_core` that is built next to this package.

The library is plain C reached through ctypes: no Python.h, so one build serves every
interpreter of the machine, and the sanitizer builds of the tests can be swapped in with
the environment variable ``ROBO_STOW_CORE=/path/to/library.so``.
"""

from __future__ import annotations

import ctypes
import os
from functools import lru_cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path


class CoreNotBuiltError(ImportError):
    """The compiled core is missing or cannot be loaded."""


def core_path() -> Path:
    """Path of the shared library; raises `CoreNotBuiltError` when there is none."""
    override = os.environ.get("ROBO_STOW_CORE")
    if override:
        path = Path(override)
        if not path.is_file():
            raise CoreNotBuiltError(f"ROBO_STOW_CORE={override}: no such file")
        return path
    package = Path(__file__).resolve().parent
    for suffix in (*EXTENSION_SUFFIXES, ".so"):
        path = package / f"_core{suffix}"
        if path.is_file():
            return path
    raise CoreNotBuiltError(
        f"the C core is not built (no _core{EXTENSION_SUFFIXES[0]} in {package}): "
        "run `make setup`, or `pip install .`"
    )


@lru_cache(maxsize=1)
def load() -> ctypes.CDLL:
    """The C core, loaded once. Raises `CoreNotBuiltError` with what to do when missing."""
    path = core_path()
    try:
        return ctypes.CDLL(str(path))
    except OSError as error:
        raise CoreNotBuiltError(f"{path}: cannot be loaded ({error}); run `make setup`") from error
