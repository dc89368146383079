"""Against a real gzserver 11; skipped where its packages cannot be had."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from robo_stow.floor.load import load_building
from robo_stow.floor.world import STEP, pod_name, world_sdf
from robo_stow.gazebo.plant import GazeboPlant
from robo_stow.gazebo.scene import Scene
from robo_stow.gazebo.server import Server
from robo_stow.gazebo.transport import GazeboError, Transport
from robo_stow.gazebo.wire import message, parse
from robo_stow.messages import Alarm, Load, UnitStatus
from robo_stow.simulate import Loop
from robo_stow.warehouse import build_warehouse

# The first test may have to fetch 240 MB.
pytestmark = [pytest.mark.timeout(1500), pytest.mark.xdist_group("gazebo")]

FETCH = Path(__file__).resolve().parent.parent / "tools" / "fetch_gazebo.py"
UNITS = 3


@pytest.fixture(scope="module")
def gazebo() -> None:
    """Gazebo 11, fetched when it is not there."""
    if os.environ.get("ROBO_STOW_GAZEBO"):
        return
    result = subprocess.run([sys.executable, FETCH], capture_output=True, text=True)
    if result.returncode:
        pytest.skip(f"Gazebo 11 cannot be had here: {result.stderr.strip()}")


@pytest.fixture(scope="module")
def world() -> str:
    return world_sdf(load_building("demo", units=UNITS), 1, "classic")


@contextmanager
def opened(world: str) -> Iterator[Scene]:
    building = load_building("demo", units=UNITS)
    with Server(world) as server:
        yield Scene(server, [building.unit_name(u) for u in range(UNITS)])


@pytest.fixture(scope="module")
def scene(gazebo: None, world: str) -> Iterator[Scene]:
    with opened(world) as shared:
        yield shared


@pytest.fixture
def own_scene(gazebo: None, world: str) -> Iterator[Scene]:
    with opened(world) as own:
        yield own


def wait(condition: object, seconds: float = 20.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():  # type: ignore[operator]
            return True
        time.sleep(0.05)
    return False


def test_poses_are_those_after_the_last_step_always(own_scene: Scene) -> None:
    """Gazebo forgets messages when it is busy; no step may end on older poses."""
    scene = own_scene  # units end facing anywhere
    spin = 0.3
    scene.drive(np.zeros(UNITS), np.full(UNITS, spin))
    scene.step(100)
    yaw, steps = scene.yaw.copy(), scene.steps
    for i in range(400):
        scene.drive(np.zeros(UNITS), np.full(UNITS, spin + 1e-6 * (i % 2)))
        scene.step(10)
        turned = np.angle(np.exp(1j * (scene.yaw - yaw)))
        assert turned == pytest.approx(spin * STEP * (scene.steps - steps), abs=2e-3)
        yaw, steps = scene.yaw.copy(), scene.steps
    scene.drive(np.zeros(UNITS), np.zeros(UNITS))
    scene.step(100)


def test_a_positive_rate_turns_counter_clockwise_and_wheels_count_it(scene: Scene) -> None:
    yaw, left, right = scene.yaw.copy(), scene.left.copy(), scene.right.copy()
    scene.drive(np.zeros(UNITS), np.array([0.2, -0.2, 0.0]))
    scene.step(round(1.0 / STEP))
    scene.drive(np.zeros(UNITS), np.zeros(UNITS))
    scene.step(round(0.5 / STEP))
    turned = np.angle(np.exp(1j * (scene.yaw - yaw)))
    assert turned == pytest.approx([0.2, -0.2, 0.0], abs=0.02)
    rolled = 0.1 * ((scene.right - right) - (scene.left - left)) / (0.7 * 0.7)
    assert rolled == pytest.approx(turned, abs=0.02)
    scene.drive(np.zeros(UNITS), np.array([-0.2, 0.2, 0.0]))
    scene.step(round(1.0 / STEP))


def test_units_go_as_far_as_they_are_told(scene: Scene) -> None:
    x, y, yaw = scene.x.copy(), scene.y.copy(), scene.yaw.copy()
    scene.drive(np.array([0.5, 0.0, -0.2]), np.zeros(UNITS))
    scene.step(round(1.0 / STEP))
    scene.drive(np.zeros(UNITS), np.zeros(UNITS))
    scene.step(round(0.5 / STEP))
    ahead = (scene.x - x) * np.cos(yaw) + (scene.y - y) * np.sin(yaw)
    assert ahead == pytest.approx([0.5, 0.0, -0.2], abs=0.02)
    assert scene.z == pytest.approx(4.0, abs=0.002)


def test_units_that_stand_do_not_creep(scene: Scene) -> None:
    scene.drive(np.zeros(UNITS), np.zeros(UNITS))
    scene.step(round(1.0 / STEP))
    x, y = scene.x.copy(), scene.y.copy()
    scene.step(round(10.0 / STEP))
    assert np.hypot(scene.x - x, scene.y - y).max() < 0.001


def test_a_loaded_unit_brakes_as_it_should(scene: Scene) -> None:
    scene.set_inertia(0, 1500.0, np.diag([100.0, 100.0, 21.0]))
    time.sleep(0.5)  # is taken over five times a second
    x, y, yaw = scene.x.copy(), scene.y.copy(), scene.yaw.copy()
    for speed in (*np.linspace(0.05, 1.0, 20), *np.linspace(0.95, 0.0, 20)):
        scene.drive(np.array([speed, 0.0, 0.0]), np.zeros(UNITS))
        scene.step(10)
    scene.step(round(0.5 / STEP))
    ahead = (scene.x - x) * np.cos(yaw) + (scene.y - y) * np.sin(yaw)
    assert ahead[0] == pytest.approx(1.0, abs=0.05)


def test_models_come_are_moved_and_go(scene: Scene) -> None:
    assert scene.where("crate") is None
    scene.spawn(
        '<model name="crate"><static>true</static><pose>1 2 3 0 0 0.5</pose><link name="crate">'
        '<visual name="v"><geometry><box><size>1 1 1</size></box></geometry></visual>'
        "</link></model>"
    )
    assert wait(lambda: scene.where("crate") is not None)
    assert scene.where("crate") == pytest.approx((1, 2, 3, 0.5))
    scene.place("crate", (4.0, 5.0, 6.0), -1.0)
    assert wait(lambda: scene.where("crate") == pytest.approx((4, 5, 6, -1)))
    frame = np.eye(4)
    frame[:3, 3] = 7.0, 8.0, 9.0
    scene.place_frame("crate", frame)
    assert wait(lambda: scene.where("crate") == pytest.approx((7, 8, 9, 0)))
    scene.delete("crate")
    assert wait(lambda: scene.where("crate") is None)


def test_a_model_that_is_watched_is_known_to_have_arrived(scene: Scene) -> None:
    for height in (-20.0, 4.0):
        scene.place("pod_00005_feet", (3.0, 3.0, height), 0.0, watch=True)
        for _ in range(200):
            scene.step(10)
            if scene.arrived("pod_00005_feet"):
                break
            time.sleep(0.01)
        assert scene.where("pod_00005_feet")[2] == pytest.approx(height)  # type: ignore[index]


def test_a_unit_that_misses_a_fiducial_stops_as_lost(gazebo: None) -> None:
    building = load_building("demo", units=2)
    with GazeboPlant(building, 1) as plant:
        fleet, scene = plant.fleet, plant.scene
        plant.step(0.0, [])
        x, y = float(scene.x[0]), float(scene.y[0])
        scene.place(building.unit_name(0), (x + 0.3, y, float(scene.z[0])), float(scene.yaw[0]))
        now = 0.0
        for _ in range(100):
            now += 0.1
            said = plant.step(now, [])
            if fleet.lost:
                break
            time.sleep(0.01)
        assert fleet.lost == [0]
        assert any(isinstance(m, Alarm) and "lost its place" in m.text for m in said)
        state = fleet.states(now)
        assert state.status.tolist() == [UnitStatus.DEAD, UnitStatus.OK]


def test_a_server_that_ends_is_told_of(gazebo: None, world: str) -> None:
    with Server(world) as server:
        scene = Scene(server, ["unit_0000"])
        os.kill(server.pid, 9)
        assert wait(lambda: not server.alive)
        import robo_stow.gazebo.scene as module

        patience, module.PATIENCE = module.PATIENCE, 1.0
        try:
            with pytest.raises(GazeboError, match="has ended"):
                scene.step(1)
        finally:
            module.PATIENCE = patience


def test_no_server_outlives_its_user(gazebo: None, world: str, tmp_path: Path) -> None:
    (tmp_path / "world.sdf").write_text(world)
    program = (
        "import sys, time; from pathlib import Path; from robo_stow.gazebo.server import Server; "
        "s = Server(Path(sys.argv[1]).read_text()); print(s.pid, flush=True); time.sleep(600)"
    )
    user = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "world.sdf")],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(tmp_path)},
    )
    assert user.stdout is not None
    server = int(user.stdout.readline())
    user.kill()
    user.wait()
    stat = Path(f"/proc/{server}/stat")
    # Gone, or dead and waiting for somebody to ask.
    assert wait(lambda: not stat.exists() or stat.read_text().split(") ")[1][0] == "Z")


def test_no_server_no_transport() -> None:
    with pytest.raises(GazeboError, match="no Gazebo master on port 1"):
        Transport(1, 1.0)


def test_a_missing_installation_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROBO_STOW_GAZEBO", "/nowhere")
    with pytest.raises(GazeboError, match=r"fetch_gazebo\.py"):
        Server("<sdf/>")


def test_messages_are_what_gazebo_writes() -> None:
    # gazebo.msgs.Pose{name: "u", id: 7, position {1 2 3}, orientation {w: 1}}
    number = {1.0: "000000000000f03f", 2.0: "0000000000000040", 3.0: "0000000000000840"}
    vector = f"09{number[1.0]}11{number[2.0]}19{number[3.0]}"
    zero = "00" * 8
    turn = f"11{zero}19{zero}21{zero}29{number[1.0]}"
    wanted = f"0a01751007{'1a1b'}{vector}{'2224'}{turn}"
    pose = message(
        "Pose",
        name="u",
        id=7,
        position=message("Vector3d", x=1, y=2, z=3),
        orientation=message("Quaternion", x=0, y=0, z=0, w=1),
    )
    assert pose.SerializeToString().hex() == wanted
    assert parse("Pose", bytes.fromhex(wanted)) == pose


def test_two_minutes_of_the_stack_in_gazebo(gazebo: None) -> None:
    building = load_building("demo", units=12)
    with GazeboPlant(building, 1) as plant:
        site = build_warehouse(building, 1, plant=plant)
        checked = 0
        loop = Loop(site.cores)
        fleet, scene = plant.fleet, plant.scene
        # Two minutes; more only until a lift, a pick and a pod at rest have been seen, as Gazebo's
        # runs differ in their timing.
        for now in loop.run(300.0, 10.0):
            assert site.monitor.conflicts == 0, [a.text for a in site.monitor.alarms]
            figures = site.monitor.figures()
            resting = (fleet.load == Load.POD) & (fleet.states(now).speed == 0.0)
            done = figures["pallets_lifted"] and figures["lines_picked"] and resting.any()
            if now >= 120.0 and done:
                break
        extra = plant.figures(loop.now, loop.now)
        assert figures["pallets_lifted"] >= 1
        assert figures["lines_picked"] >= 1
        assert extra["position_error_mm"]["samples"] >= 12
        assert not site.inventory.audit()
        assert extra["position_error_mm"]["max"] < 20.0
        assert extra["units_lost"] == 0
        for unit in np.flatnonzero(resting).tolist():  # the pod is where its unit is
            name = pod_name(int(fleet.load_id[unit]))
            at = (scene.x[unit], scene.y[unit])
            assert wait(lambda n=name, a=at: scene.where(n)[:2] == pytest.approx(a, abs=0.05))  # type: ignore[misc, index]
            checked += 1
        assert checked
