"""Parameters: declared with description and range, defaults from ``config/nodes/*.yaml``."""

from __future__ import annotations

from functools import cache
from typing import Any

import yaml
from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node

from robo_stow.errors import InputError
from robo_stow.resources import share_dir


@cache
def defaults(node: str) -> dict[str, Any]:
    """Default parameters of a kind of node."""
    path = share_dir() / "config" / "nodes" / f"{node}.yaml"
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    try:
        return dict(document["/**"]["ros__parameters"])
    except (KeyError, TypeError):
        raise InputError(path, "/**", document, "ros__parameters expected") from None


def declare(
    node: Node,
    kind: str,
    name: str,
    description: str,
    bounds: tuple[float, float] | None = None,
) -> Any:
    """Declare one parameter that cannot change while the node runs; returns its value.

    Args:
        kind: kind of node, whose file holds the default.
        bounds: least and largest value, for numbers.
    """
    default = defaults(kind)[name]
    descriptor = ParameterDescriptor(description=description, read_only=True)
    if bounds is not None and isinstance(default, float):
        descriptor.floating_point_range = [
            FloatingPointRange(from_value=float(bounds[0]), to_value=float(bounds[1]))
        ]
    elif bounds is not None:
        descriptor.integer_range = [
            IntegerRange(from_value=int(bounds[0]), to_value=int(bounds[1]))
        ]
    return node.declare_parameter(name, default, descriptor).value
