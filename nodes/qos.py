"""Quality of service of each topic."""

from __future__ import annotations

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy

from robo_stow import messages as records


def _profile(depth: int, durability: DurabilityPolicy = DurabilityPolicy.VOLATILE) -> QoSProfile:
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=depth,
        reliability=ReliabilityPolicy.RELIABLE,
        durability=durability,
    )


STATE = _profile(5)
"""Absolute values, sent again and again: the newest few are enough."""

COMMAND = _profile(1000)
"""Everything said once counts."""

SNAPSHOT = _profile(1000, DurabilityPolicy.TRANSIENT_LOCAL)
"""Absolute values sent on change; the publisher repeats all of them for a late joiner."""

KEPT = _profile(1000, DurabilityPolicy.TRANSIENT_LOCAL)
"""Everything said once counts, and the newest are heard by a late joiner too."""

LATCHED = _profile(1, DurabilityPolicy.TRANSIENT_LOCAL)
"""One message that stays true: the floor, the closed zones."""

SENSOR = QoSProfile(
    history=HistoryPolicy.KEEP_LAST, depth=10, reliability=ReliabilityPolicy.BEST_EFFORT
)
"""What a robot measures; matches publishers of any reliability."""

_STATES = (records.FleetState, records.LifterState, records.LifterFeedback, records.LifterCommand)
_LATCHED = (records.KeepOuts,)
_KEPT = (records.OrderArrived,)
_SNAPSHOTS = (records.PodPlaces, records.PodRegister, records.StockLevels, records.PodSpace)


def of(record: type) -> QoSProfile:
    """Profile of a record's topic."""
    if record in _STATES:
        return STATE
    if record in _LATCHED:
        return LATCHED
    if record in _KEPT:
        return KEPT
    return SNAPSHOT if record in _SNAPSHOTS else COMMAND
