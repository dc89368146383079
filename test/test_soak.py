"""Traffic in which everything goes wrong, for some minutes; `bench/soak.py` runs a day of it."""

from __future__ import annotations

import json

import pytest

from robo_stow.bench.soak import STEP, Soak, Troubles
from robo_stow.floor.load import load_building

OFTEN = Troubles(
    late_share=0.1,
    lost=0.1,
    twice=0.1,
    late=0.2,
    stale=0.05,
    stop_every=60.0,
    death_every=300.0,
    silence_every=150.0,
    restart_every=200.0,
    zone_every=150.0,
)


def run(seed: int, troubles: Troubles, seconds: float, units: int) -> Soak:
    soak = Soak(load_building("demo", units=units), seed, troubles, iterations=20)
    for _ in range(round(seconds / STEP)):
        soak.step()
    return soak


@pytest.mark.parametrize("seed", [1, 2])
def test_nobody_meets_and_work_goes_on_whatever_goes_wrong(seed: int) -> None:
    figures = run(seed, OFTEN, 900.0, units=12).figures()
    assert figures["conflicts"] == 0
    assert figures["errands_done"] > 30
    for kind in ("stop", "kill", "silence", "restart", "zone"):
        assert figures["injected"].get(kind, 0) > 0, kind
    assert figures["longest_recovery_s"] < 300.0


def test_late_moves_and_bad_links_alone_make_nobody_wait_long() -> None:
    never = 1e9
    links = Troubles(
        stop_every=never,
        death_every=never,
        silence_every=never,
        restart_every=never,
        zone_every=never,
    )
    figures = run(3, links, 900.0, units=24).figures()
    assert figures["conflicts"] == 0
    assert figures["errands_done"] > 300
    assert figures["errands_rejected"] == 0
    assert figures["longest_wait_undisturbed_s"] < 120.0
    assert figures["alarms"] == {}


def test_the_same_seed_gives_the_same_day() -> None:
    first, again = (json.dumps(run(4, OFTEN, 120.0, units=6).figures()) for _ in range(2))
    assert first == again
