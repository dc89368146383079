"""Wheels on a released path, without Gazebo: the estimate and the controller."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robo_stow.drive.tracking import Tracking, wrap

PERIOD = 0.05


def follow(
    seconds: float,
    path: tuple[float, float, float],
    start: tuple[float, float, float],
    slip: float = 0.0,
    sights: bool = True,
) -> tuple[np.ndarray, np.ndarray]:
    """A unit that follows a straight reference, stopping at its end; true pose and reference."""
    speed, end, yaw = path
    true = np.array(start)
    tracking = Tracking(true[:1], true[1:2], true[2:], 2.0, 4.0)
    at = 0.0
    one = np.ones(1)
    for _ in range(round(seconds / PERIOD)):
        step = min(speed * PERIOD, end - at)
        ref = (at * math.cos(yaw) * one, at * math.sin(yaw) * one, yaw * one)
        v, w = tracking.command(*ref, step / PERIOD * one, 0.0 * one, PERIOD)
        at += step
        for _ in range(10):
            true[2] += w[0] * PERIOD / 10
            true[0] += (1 - slip) * v[0] * math.cos(true[2]) * PERIOD / 10
            true[1] += (1 - slip) * v[0] * math.sin(true[2]) * PERIOD / 10
        left, right = (v - w * 0.25) * PERIOD, (v + w * 0.25) * PERIOD
        tracking.roll(left, right, 0.5)
        along = true[0] * math.cos(yaw) + true[1] * math.sin(yaw)
        if sights and abs(along - round(along)) < 0.09:
            tracking.sight(np.ones(1, bool), true[:1], true[1:2], true[2:])
    return true, np.array([at * math.cos(yaw), at * math.sin(yaw), yaw])


@settings(max_examples=30, deadline=None)
@given(
    speed=st.floats(0.2, 1.5),
    across=st.floats(-0.05, 0.05),
    along=st.floats(-0.05, 0.05),
    off=st.floats(-0.2, 0.2),
    heading=st.integers(0, 3),
)
def test_comes_onto_the_path_and_stops_at_its_end(
    speed: float, across: float, along: float, off: float, heading: int
) -> None:
    yaw = heading * math.pi / 2
    start = (
        along * math.cos(yaw) - across * math.sin(yaw),
        along * math.sin(yaw) + across * math.cos(yaw),
        float(wrap(np.array([yaw + off]))[0]),
    )
    true, reference = follow(8.0 / speed + 3.0, (speed, 8.0, yaw), start)
    # At a crawl it takes metres to come back (see ACROSS).
    assert np.hypot(*(true - reference)[:2]) < (0.005 if speed > 0.3 else 0.01)
    assert abs(wrap(true[2:] - yaw)[0]) < 0.02


def test_fiducials_make_up_for_slipping_wheels() -> None:
    path = (1.0, 20.0, 0.0)
    blind, reference = follow(23.0, path, (0.0, 0.0, 0.0), slip=0.05, sights=False)
    seeing, _ = follow(23.0, path, (0.0, 0.0, 0.0), slip=0.05)
    assert abs(blind[0] - reference[0]) > 0.5
    assert abs(seeing[0] - reference[0]) < 0.01


def test_a_unit_that_should_stand_and_stands_is_left_alone() -> None:
    zero = np.zeros(2)
    tracking = Tracking(zero, zero, zero, 2.0, 4.0)
    v, w = tracking.command(zero + 0.0005, zero, zero + 0.002, zero, zero, PERIOD)
    assert (v == 0.0).all() and (w == 0.0).all()


def test_speeds_stay_within_their_limits() -> None:
    far = np.full(1, 100.0)
    tracking = Tracking(np.zeros(1), np.zeros(1), np.zeros(1), 1.8, 3.0)
    for _ in range(50):
        v, w = tracking.command(far, far, np.full(1, 3.0), np.ones(1), np.zeros(1), PERIOD)
        assert abs(v[0]) <= 1.8 and abs(w[0]) <= 3.0


def test_estimates_turn_with_the_wheels() -> None:
    tracking = Tracking(np.zeros(1), np.zeros(1), np.zeros(1), 1.0, 1.0)
    quarter = math.pi / 2 * 0.25
    tracking.roll(np.array([-quarter]), np.array([quarter]), 0.5)
    assert tracking.yaw[0] == pytest.approx(math.pi / 2)
    tracking.roll(np.ones(1), np.ones(1), 0.5)
    assert (tracking.x[0], tracking.y[0]) == pytest.approx((0.0, 1.0))
