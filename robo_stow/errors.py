"""Errors a user can cause; the command line prints them in one line, never as a traceback."""

from __future__ import annotations

LONGEST = 120
"""Characters of a value that an error shows."""


class RoboStowError(Exception):
    """Base of every error this project raises on purpose."""


class InputError(RoboStowError):
    """A file, message, service request or command line holds a value that cannot be used.

    Args:
        source: file path or message/service name the value came from.
        field: dotted path of the field, or ``line N`` in a line-oriented file.
        value: the offending value as given.
        message: what would have been right.
    """

    def __init__(self, source: object, field: str, value: object, message: str) -> None:
        self.source = str(source)
        self.field = field
        self.value = value
        self.message = message
        shown = repr(value)
        if len(shown) > LONGEST:
            shown = f"{shown[:LONGEST]}..."
        # A field's name may be the user's own: one with a line break must not break the line.
        name = field if field.isprintable() else repr(field)
        super().__init__(f"{self.source}: {name} = {shown}: {message}")

    def __reduce__(self) -> tuple[type[InputError], tuple[str, str, object, str]]:
        return type(self), (self.source, self.field, self.value, self.message)


def no_ros(error: ImportError) -> RoboStowError:
    """What to tell a user when the ROS 2 side cannot be imported."""
    return RoboStowError(
        f"ROS 2 or the built workspace is not there ({error}); run `make setup` and use "
        ".venv/bin/robo-stow, or source install/setup.bash"
    )
