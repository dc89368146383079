"""Drive units whose wheels roll in Gazebo, in place of the computed ones of `DriveUnits`."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET

import numpy as np
from numpy.typing import NDArray

from robo_stow.drive.motion import DriveUnits
from robo_stow.drive.tracking import Tracking, wrap
from robo_stow.errors import InputError
from robo_stow.floor.building import Building
from robo_stow.floor.start import pod_cells, unit_cells
from robo_stow.floor.urdf import drive_unit_arguments, expand, to_sdf
from robo_stow.floor.world import RIGID, STEP
from robo_stow.gazebo.scene import Scene
from robo_stow.messages import I32, U8, Action, FleetState, Load, PodPlaces, Release, UnitStatus

F64 = NDArray[np.float64]

PERIOD = 0.05
"""s between wheel commands."""
LEASH = (0.05, 0.15, 0.35)
"""m along the path, m across it and rad that a unit may be off; beyond, its reference waits."""
SIGHT = 0.09
"""m from a fiducial's middle within which the camera sees it."""
EXPECTED = 0.045
"""m from a fiducial's middle, by its own reckoning, within which a unit must see it."""
SIGHT_NOISE = (0.001, 0.002)
"""Standard deviation of a sight, m and rad."""
AT_REST = (0.02, 0.03)
"""m/s and rad/s below which a unit reports that it stands: its encoders' resolution."""
SETTLED = 0.5
"""s at rest after which the error of a stop is noted."""
WHEEL_RADIUS = 0.1
"""m, as in ``urdf/drive_unit.urdf.xacro``."""


class GazeboFleet:
    """Units that follow releases with physics, with the interface of `DriveUnits`.

    For each unit a `DriveUnits` of one keeps the books (releases, actions done, load, battery) and
    gives the reference: where the unit should be, and when. Wheels follow it by `Tracking`, which
    knows of the true pose only what wheels and fiducials tell. When a unit falls behind, its
    reference waits, so no action counts as done while the unit is more than `LEASH` off.

    States report Gazebo's own poses, so that the conflict checker judges what is, not what a
    unit believes.

    Args:
        building: the site.
        seed: of batteries, start places and the camera's noise.
        scene: the world, with all units at their start places.

    A unit that should see a fiducial and does not (it was pushed, or its wheels slipped) has lost
    its place: it stops and is out of order (`UnitStatus.DEAD`) until it is reset.

    Public: as `DriveUnits`; ``held`` Bools[n], units that must wait where they are; ``lost``, the
    units that have lost their places, in order; ``passing`` and ``standing``, true distances (m)
    from the reference whenever a unit passed a cell's centre, and from the centre whenever it
    stood at one.
    """

    first_unit = 0

    def __init__(self, building: Building, seed: int, scene: Scene, charge: F64) -> None:
        self.n = n = building.units
        self._scene, self._grid = scene, building.grid
        self._track = 0.7 * building.drive.footprint
        self.unit = np.arange(n, dtype=np.int32)
        cells, headings = unit_cells(building, seed)
        pods = pod_cells(building, seed)
        self.pod_mass = building.pod.mass + building.stock.fill * building.pod.capacity
        self._books = [
            DriveUnits(
                building.drive,
                building.grid,
                1,
                cells[u : u + 1],
                headings[u : u + 1],
                first_unit=u,
                pod_cell=pods,
                pod_mass=self.pod_mass,
                charge=float(charge[u]),
            )
            for u in range(n)
        ]
        self._rng = np.random.default_rng([seed, 0x6A2E])
        self._ref = np.zeros((3, n))
        self.cell: I32 = np.zeros(n, np.int32)
        self.released: NDArray[np.uint32] = np.zeros(n, np.uint32)
        self.load: U8 = np.zeros(n, np.uint8)
        self.load_id: I32 = np.full(n, -1, np.int32)
        self._states = [book.states(0.0) for book in self._books]
        self._note()
        drive = building.drive
        self._tracking = Tracking(
            self._ref[0],
            self._ref[1],
            self._ref[2],
            1.2 * drive.max_speed,
            1.5 * 2 * math.pi / drive.turn_time,
        )
        self._wheels = (scene.left.copy(), scene.right.copy())
        self._speed, self._spin = np.zeros((2, n))
        self._rest = np.zeros(n)
        self._pallet = np.zeros(n)
        self._own = _body(building)
        self._side = building.pod.size
        self._weighed = np.zeros(n)
        self.held = np.zeros(n, np.bool_)
        self.lost: list[int] = []
        self.passing: list[float] = []
        self.standing: list[float] = []

    # --- what DriveUnits does ------------------------------------------------------------------

    def take(self, release: Release) -> I32:
        """As `DriveUnits.take`."""
        taken = np.zeros(len(release.unit), np.int32)
        for book in self._books:
            taken += book.take(release)
        self.released[:] = [book.released[0] for book in self._books]
        return taken

    def step(self, dt: float) -> list[tuple[int, Action]]:
        """Move on by ``dt`` s: a whole number of `PERIOD`, or nothing.

        Raises:
            GazeboError: the server has ended or hangs.
        """
        failures: list[tuple[int, Action]] = []
        for _ in range(round(dt / PERIOD)):
            failures += self._tick()
        return failures

    def states(self, stamp: float) -> FleetState:
        """States of all units; positions are the true ones."""
        of = self._states
        still = (np.abs(self._speed) < AT_REST[0]) & (np.abs(self._spin) < AT_REST[1])
        still &= np.array([state.speed[0] == 0.0 for state in of])
        return FleetState(
            stamp=stamp,
            unit=self.unit,
            epoch=np.array([s.epoch[0] for s in of], np.uint32),
            done=np.array([s.done[0] for s in of], np.uint32),
            released=np.array([b.released[0] for b in self._books], np.uint32),
            cell=self.cell.copy(),
            heading=np.array([s.heading[0] for s in of], np.uint8),
            x=self._scene.x.astype(np.float32),
            y=self._scene.y.astype(np.float32),
            yaw=self._scene.yaw.astype(np.float32),
            speed=np.where(still, 0.0, np.abs(self._speed)).astype(np.float32),
            load=self.load.copy(),
            load_id=self.load_id.copy(),
            battery=np.array([s.battery[0] for s in of], np.float32),
            status=self._status(),
        )

    def delay(self, unit: int, number: int, seconds: float) -> None:
        """As `DriveUnits.delay`."""
        self._books[unit].delay(unit, number, seconds)

    def stop(self, unit: int) -> None:
        """As `DriveUnits.stop`."""
        self._books[unit].stop(unit)
        self._renew(unit)

    def kill(self, unit: int) -> None:
        """As `DriveUnits.kill`."""
        self._books[unit].kill(unit)
        self._renew(unit)

    def reset(self, unit: int, charge: float | None = None) -> None:
        """As `DriveUnits.reset`."""
        self._books[unit].reset(unit, charge)
        self._renew(unit)

    def place(self, unit: int, cell: int, heading: int) -> None:
        """Refused: a unit that is set elsewhere would drive back through whatever is in its way.

        Raises:
            InputError: always.
        """
        raise InputError("Gazebo", "unit", unit, "moves by its wheels only")

    def pending(self, unit: int) -> tuple[U8, I32]:
        """As `DriveUnits.pending`."""
        return self._books[unit].pending(unit)

    def keep_out(self, cells: I32) -> None:
        """As `DriveUnits.keep_out`."""
        for book in self._books:
            book.keep_out(cells)

    def load_pallet(self, unit: int, weight: float) -> None:
        """As `DriveUnits.load_pallet`."""
        self._books[unit].load_pallet(unit, weight)
        self._pallet[unit] = weight
        self._note()

    def unload_pallet(self, unit: int) -> None:
        """As `DriveUnits.unload_pallet`."""
        self._books[unit].unload_pallet(unit)
        self._note()

    def _status(self) -> U8:
        return np.array([state.status[0] for state in self._states], np.uint8)

    def _renew(self, unit: int) -> None:
        self._books[unit].step(0.0)
        self._states[unit] = self._books[unit].states(0.0)

    # --- wheels --------------------------------------------------------------------------------

    def _tick(self) -> list[tuple[int, Action]]:
        scene, tracking, before = self._scene, self._tracking, self._ref.copy()
        off = np.abs(tracking.error(before[0], before[1], before[2]))
        leash = (off <= np.array(LEASH)[:, None]).all(axis=0) & ~self.held
        done = [int(state.done[0]) for state in self._states]
        failures: list[tuple[int, Action]] = []
        for u in np.flatnonzero(leash).tolist():
            failures += self._books[u].step(PERIOD)
            self._states[u] = self._books[u].states(0.0)
        self._note()
        way = self._ref - before
        cos, sin = np.cos(before[2]), np.sin(before[2])
        speed = (cos * way[0] + sin * way[1]) / PERIOD
        v, w = tracking.command(
            before[0], before[1], before[2], speed, wrap(way[2]) / PERIOD, PERIOD
        )
        braked = ~way.any(axis=0) & (self._status() == UnitStatus.DEAD)
        v[braked] = w[braked] = 0.0
        scene.drive(v, w)
        x, y, yaw = scene.x.copy(), scene.y.copy(), scene.yaw.copy()
        scene.step(round(PERIOD / STEP))
        self._speed = np.hypot(scene.x - x, scene.y - y) / PERIOD
        self._spin = wrap(scene.yaw - yaw) / PERIOD
        rolled = (scene.left - self._wheels[0], scene.right - self._wheels[1])
        self._wheels = (scene.left.copy(), scene.right.copy())
        tracking.roll(WHEEL_RADIUS * rolled[0], WHEEL_RADIUS * rolled[1], self._track)
        self._see()
        self._judge(done, way)
        return failures

    def _see(self) -> None:
        scene, grid, tracking = self._scene, self._grid, self._tracking
        x, y = grid.xy(grid.cell_at(scene.x, scene.y))
        seen = np.hypot(scene.x - x, scene.y - y) <= SIGHT
        x, y = grid.xy(grid.cell_at(tracking.x, tracking.y))
        expected = np.hypot(tracking.x - x, tracking.y - y) <= EXPECTED
        missed = expected & ~seen & (self._status() != UnitStatus.DEAD)
        for unit in np.flatnonzero(missed).tolist():
            self.lost.append(unit)
            self.kill(unit)
        noise = self._rng.standard_normal((3, self.n))
        tracking.sight(
            seen,
            scene.x + SIGHT_NOISE[0] * noise[0],
            scene.y + SIGHT_NOISE[0] * noise[1],
            scene.yaw + SIGHT_NOISE[1] * noise[2],
        )

    def _judge(self, done: list[int], way: F64) -> None:
        """Note how far off the units are at the centres of cells."""
        scene = self._scene
        far = np.hypot(scene.x - self._ref[0], scene.y - self._ref[1])
        resting = ~way.any(axis=0)
        self._rest = np.where(resting, self._rest + PERIOD, 0.0)
        for u, state in enumerate(self._states):
            if int(state.done[0]) != done[u] and way[:2, u].any():
                self.passing.append(float(far[u]))
        settled = np.abs(self._rest - SETTLED) < PERIOD / 2
        settled &= np.array([s.done[0] == s.released[0] for s in self._states])
        self.standing += far[settled].tolist()

    def _note(self) -> None:
        """Take over what the books say, and tell all of pods that were lifted or set down."""
        for u, book in enumerate(self._books):
            state = self._states[u]
            self._ref[:, u] = state.x[0], state.y[0], state.yaw[0]
            self.cell[u] = book.cell[0]
            self.released[u] = book.released[0]
            self.load[u] = book.load[0]
            pod, was = int(book.load_id[0]), int(self.load_id[u])
            if pod != was:
                self.load_id[u] = pod
                moved = max(pod, was)
                cell = -1 if pod >= 0 else int(book.cell[0])
                places = PodPlaces(0.0, np.array([moved], np.int32), np.array([cell], np.int32))
                for other in self._books:
                    if other is not book:
                        other.place_pods(places)
                        other.pod_face[moved] = book.pod_face[moved]

    # --- payload -------------------------------------------------------------------------------

    def weigh(self) -> None:
        """Give units' bodies in Gazebo the mass of what they carry.

        It counts at the body's own centre of mass (Gazebo cannot move that while it runs), so
        wheels and brakes feel it and tipping does not. The platform counter-rotates: a load adds
        nothing to the inertia about the vertical.
        """
        carried = np.where(self.load == Load.POD, self.pod_mass, self._pallet)
        carried[self.load == Load.NONE] = 0.0
        mass, inertia = self._own
        for u in np.flatnonzero(carried != self._weighed).tolist():
            self._weighed[u] = load = float(carried[u])
            side = self._side**2 * load / 12
            self._scene.set_inertia(u, mass + load, inertia + np.diag([side, side, 0.0]))


def _body(building: Building) -> tuple[float, F64]:
    """Mass (kg) of a unit without its wheels, and inertia about its centre of mass."""
    urdf = expand("drive_unit", drive_unit_arguments(building))
    inertial = ET.fromstring(to_sdf(urdf, "unit", rigid=RIGID)).find("link/inertial")
    assert inertial is not None
    value = {e.tag: float(e.text or 0) for e in inertial.findall("inertia/*")}
    rows = (("ixx", "ixy", "ixz"), ("ixy", "iyy", "iyz"), ("ixz", "iyz", "izz"))
    tensor = np.array([[value[name] for name in row] for row in rows])
    return float(inertial.findtext("mass", "0")), tensor
