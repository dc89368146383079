"""Pods in Harmonic: at rest every pod is one model, where it stands or held by its unit."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
from gz_world import GzWorld
from hypothesis import given, settings
from hypothesis import strategies as st

from robo_stow.floor.load import load_building
from robo_stow.floor.start import pod_cells
from robo_stow.floor.world import load_name, pod_name
from robo_stow.gazebo.carried import CarriedPods, LoadHeld, ModelCome, ModelDone, ModelGone
from robo_stow.messages import FleetState, Load, PodPlaces

BUILDING = load_building("demo", units=4)
UNITS = [BUILDING.unit_name(unit) for unit in range(BUILDING.units)]
PODS = 6
"""Pods that are carried about; the others only stand."""


def fleet(now: float, on: list[int], cell: list[int]) -> FleetState:
    n = len(on)
    x, y = BUILDING.grid.xy(np.array(cell, np.int32))
    zero = np.zeros(n, np.uint32)
    return FleetState(
        now,
        np.arange(n, dtype=np.int32),
        zero,
        zero,
        zero,
        np.array(cell, np.int32),
        np.zeros(n, np.uint8),
        x.astype(np.float32),
        y.astype(np.float32),
        np.zeros(n, np.float32),
        np.zeros(n, np.float32),
        np.array([Load.POD if pod >= 0 else Load.NONE for pod in on], np.uint8),
        np.array(on, np.int32),
        np.ones(n, np.float32),
        np.zeros(n, np.uint8),
    )


def places(now: float, pod: int, cell: int) -> PodPlaces:
    return PodPlaces(now, np.array([pod], np.int32), np.array([cell], np.int32))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([0.0, 0.1, 0.5]))
def test_models_follow_pods_whatever_is_lost_or_late(seed: int, loss: float) -> None:
    rng = random.Random(seed)
    core = CarriedPods(BUILDING, 1)
    world = GzWorld(UNITS)
    stands: list[int] = pod_cells(BUILDING, 1).tolist()
    for pod, cell in enumerate(stands):
        x, y = BUILDING.grid.xy(np.array([cell], np.int32))
        world.create(pod_name(pod), float(x[0]), float(y[0]), True)
    spare = sorted(set(range(BUILDING.grid.cells)) - set(stands))
    on, at = [-1] * len(UNITS), spare[: len(UNITS)]
    late: list[tuple[int, Any]] = []  # step at which it arrives
    inbox: list[Any] = []
    for step in range(400):
        now = 0.5 * step
        unit = rng.randrange(len(UNITS))
        if step < 250 and rng.random() < 0.2:
            if on[unit] < 0:
                pod = rng.choice([p for p in range(PODS) if stands[p] >= 0])
                on[unit], at[unit], stands[pod] = pod, stands[pod], -1
                late.append((step + rng.randrange(4), places(now, pod, -1)))
            else:
                pod, on[unit] = on[unit], -1
                at[unit] = stands[pod] = rng.choice([c for c in spare if c not in stands])
                # After the unit's own report, and after what was told of the pod before.
                late.append((step + 4, places(now, pod, stands[pod])))
        inbox.append(fleet(now, on, at))
        inbox += [record for due, record in late if due <= step]
        late = [entry for entry in late if entry[0] > step]
        for change in core.step(now, inbox):
            lost = step < 300 and rng.random() < loss
            answer: list[Any] = []
            if lost and rng.random() < 0.5:
                continue  # the request; else the answer
            if isinstance(change, ModelGone):
                answer = [ModelDone(change.number, world.remove(change.name))]
            elif isinstance(change, ModelCome):
                static = change.unit < 0
                done = world.create(change.name, change.x, change.y, static)
                answer = [ModelDone(change.number, done)]
            elif change.held:
                world.attach(UNITS[change.unit])
            else:
                states = world.detach(UNITS[change.unit])
                late += [(step + 1, LoadHeld(change.unit, state == "attached")) for state in states]
            if not lost:
                late += [(step + rng.randrange(1, 4), record) for record in answer]
        late += [(step + 1, LoadHeld(UNITS.index(name), True)) for name in world.update()]
        inbox = []
    assert world.broken == []
    expected: dict[str, tuple[int, bool]] = {}
    for pod, cell in enumerate(stands):
        if cell >= 0:
            expected[pod_name(pod)] = (cell, True)
    for unit, pod in enumerate(on):
        if pod >= 0:
            expected[load_name(UNITS[unit])] = (-1, False)
    assert set(world.models) == set(expected)
    for name, (cell, static) in expected.items():
        x, y, fixed = world.models[name]
        assert fixed == static
        if static:
            cells = BUILDING.grid.cell_at(np.array([x]), np.array([y]))
            assert int(cells[0]) == cell, name
    assert world.attached == {name: pod >= 0 for name, pod in zip(UNITS, on, strict=True)}
