"""Files shipped with the package, wherever it runs from."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

from robo_stow.errors import RoboStowError


def _candidates() -> Iterator[Path]:
    package = Path(__file__).resolve().parent
    yield package.parent  # source tree, and colcon's symlink install, which links to it
    for prefix in package.parents:  # <prefix>/lib/pythonX.Y/site-packages/robo_stow
        yield prefix / "share" / "robo_stow"
    for variable in ("AMENT_PREFIX_PATH", "COLCON_PREFIX_PATH"):
        for prefix_text in filter(None, os.environ.get(variable, "").split(os.pathsep)):
            yield Path(prefix_text) / "share" / "robo_stow"
            yield Path(prefix_text) / "robo_stow" / "share" / "robo_stow"
    yield Path(sys.prefix) / "share" / "robo_stow"


def share_dir() -> Path:
    """Folder that holds ``config/``, ``launch/``, ``urdf/`` and ``worlds/``.

    The source tree when run from it, else ``share/robo_stow`` of the install.

    Raises:
        RoboStowError: the installation lacks its shared files.
    """
    for folder in _candidates():
        if (folder / "config" / "buildings").is_dir() and (folder / "package.xml").is_file():
            return folder
    raise RoboStowError("robo_stow: config/buildings is not installed (no share/robo_stow found)")
