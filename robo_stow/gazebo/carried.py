"""Pods on the move in Gazebo Harmonic: which models go and come when units lift and set down.

A pod that stands is a static model of its own. One that is carried is its unit's *load*: a model
with a name that belongs to the unit, held by the DetachableJoint of the unit's model. The child of
such a joint has a fixed name, so this needs one joint for each unit, not one for each unit and pod.

Lifting: the pod's model goes, the load comes above the unit and is attached. Setting down: the
load is detached and goes, the pod's model comes where the pod stands now. Every change is asked for
again until it is answered.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from robo_stow.floor.building import Building
from robo_stow.floor.start import pod_cells
from robo_stow.floor.world import LOAD_HEIGHT, load_name, pod_name, storage_height
from robo_stow.messages import FleetState, Load, PodPlaces

REPEAT = 2.0
"""Seconds after which a change that was not answered is asked for again."""


@dataclass(frozen=True, slots=True)
class ModelGone:
    """A model is to be removed."""

    number: int
    name: str


@dataclass(frozen=True, slots=True)
class ModelCome:
    """A pod's model is to be spawned, as the load of a unit or, with unit -1, standing."""

    number: int
    name: str
    unit: int
    x: float  # m
    y: float  # m
    z: float  # m
    yaw: float  # rad


@dataclass(frozen=True, slots=True)
class LoadHeld:
    """A unit's load is to be held by its joint, or let go; as an answer: it is."""

    unit: int
    held: bool


@dataclass(frozen=True, slots=True)
class ModelDone:
    """Answer to the `ModelGone` or `ModelCome` of that number."""

    number: int
    ok: bool


Change = ModelGone | ModelCome | LoadHeld


@dataclass(slots=True)
class _Job:
    """A pod's way from where it is shown to where it is."""

    to: int
    changes: deque[Change]
    asked: float = -REPEAT


class CarriedPods:
    """Keeps the models of pods where the pods are.

    A place is a cell, or ``~unit`` on a unit.

    Args:
        seed: of the pods' start places, as in the world's file.
    """

    consumes: tuple[type, ...] = (FleetState, PodPlaces, ModelDone, LoadHeld)

    def __init__(self, building: Building, seed: int) -> None:
        self._building = building
        self._z = storage_height(building)
        self.shown: list[int] = pod_cells(building, seed).tolist()
        """Place of each pod's model; where it is on its way from."""
        self._stands = list(self.shown)  # cell that was told last, -1: carried
        self._on = np.full(building.units, -1, np.int32)  # pod that the unit reports
        self._unit_of: dict[int, int] = {}
        self._at = np.zeros((3, building.units))  # x, y (m) and yaw (rad)
        self._jobs: dict[int, _Job] = {}
        self._busy: dict[int, int] = {}  # unit: pod that is, or comes to be, its load
        self._held = [False] * building.units
        self._dirty: dict[int, None] = {}
        self._numbers = itertools.count()

    def step(self, now: float, inbox: Sequence[Any]) -> list[Any]:
        """Take in what is, and what was done; say what is to change."""
        for message in inbox:
            if isinstance(message, FleetState):
                self._on_fleet(message)
            elif isinstance(message, PodPlaces):
                for pod, cell in zip(message.pod.tolist(), message.cell.tolist(), strict=True):
                    self._stands[pod] = cell
                    self._dirty[pod] = None
            elif isinstance(message, LoadHeld):
                self._held[message.unit] = message.held
            elif isinstance(message, ModelDone):
                self._on_done(message)
        for pod in list(self._dirty):
            if pod not in self._jobs and self._begin(pod):
                del self._dirty[pod]
        out: list[Change] = []
        for pod, job in list(self._jobs.items()):
            change = self._next(pod, job)
            if change is not None and now >= job.asked + REPEAT:
                job.asked = now
                out.append(change)
        return out

    def _on_fleet(self, state: FleetState) -> None:
        unit = state.unit
        self._at[:, unit] = state.x, state.y, state.yaw
        on = np.where(state.load == Load.POD, state.load_id, -1)
        for u, pod in zip(
            unit[on != self._on[unit]].tolist(), on[on != self._on[unit]].tolist(), strict=True
        ):
            before = int(self._on[u])
            if before >= 0 and self._unit_of.get(before) == u:
                del self._unit_of[before]
                self._dirty[before] = None
            if pod >= 0:
                self._unit_of[pod] = u
                self._dirty[pod] = None
            self._on[u] = pod

    def _on_done(self, done: ModelDone) -> None:
        for job in self._jobs.values():
            change = job.changes[0] if job.changes else None
            if isinstance(change, ModelGone | ModelCome) and change.number == done.number:
                if done.ok:
                    job.changes.popleft()
                    job.asked = -REPEAT
                return

    def _begin(self, pod: int) -> bool:
        """Start a pod on its way; False while that has to wait."""
        unit = self._unit_of.get(pod, -1)
        to = ~unit if unit >= 0 else self._stands[pod]
        if unit < 0 and to < 0:
            return False  # set down; traffic has not told where
        origin = self.shown[pod]
        if to == origin:
            return True
        if unit >= 0 and self._busy.get(unit, pod) != pod:
            return False  # the unit's load before is still there
        changes: deque[Change] = deque()
        if origin < 0:
            changes += (
                LoadHeld(~origin, False),
                ModelGone(self._number(), load_name(self._name(~origin))),
            )
        else:
            changes.append(ModelGone(self._number(), pod_name(pod)))
        if unit >= 0:
            self._busy[unit] = pod
            x, y, yaw = self._at[:, unit].tolist()
            name = load_name(self._name(unit))
            changes.append(ModelCome(self._number(), name, unit, x, y, self._z + LOAD_HEIGHT, yaw))
            changes.append(LoadHeld(unit, True))
        else:
            x, y = (float(v[0]) for v in self._building.grid.xy(np.array([to], np.int32)))
            changes.append(ModelCome(self._number(), pod_name(pod), -1, x, y, self._z, 0.0))
        self._jobs[pod] = _Job(to, changes)
        return True

    def _next(self, pod: int, job: _Job) -> Change | None:
        while job.changes:
            change = job.changes[0]
            if isinstance(change, LoadHeld) and self._held[change.unit] == change.held:
                job.changes.popleft()
                job.asked = -REPEAT
                continue
            if isinstance(change, ModelCome) and change.unit >= 0:  # the unit may have moved on
                x, y, yaw = self._at[:, change.unit].tolist()
                return replace(change, x=x, y=y, yaw=yaw)
            return change
        origin = self.shown[pod]
        if origin < 0 and self._busy.get(~origin) == pod and job.to != origin:
            del self._busy[~origin]
        self.shown[pod] = job.to
        del self._jobs[pod]
        self._dirty[pod] = None  # it may have gone on meanwhile
        return None

    def _number(self) -> int:
        return next(self._numbers)

    def _name(self, unit: int) -> str:
        return self._building.unit_name(unit)
