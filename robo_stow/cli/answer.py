"""How a command ends: its exit code, and what it says of a mistake."""

from __future__ import annotations

import sys
from collections.abc import Callable

from robo_stow.errors import RoboStowError


def answer(program: str, command: Callable[[], int | None]) -> int:
    """Run ``command``; a user's mistake is one line on stderr and exit code 2."""
    try:
        return command() or 0
    except RoboStowError as error:
        print(f"{program}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader (head, less) has gone; there is nobody left to tell.
        sys.stderr.close()
        return 0
