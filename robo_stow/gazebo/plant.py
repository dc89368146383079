"""The embedded plant with its drive units, pods, pallets and arms in a real Gazebo."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from robo_stow.errors import InputError
from robo_stow.floor.building import Building
from robo_stow.floor.urdf import expand, lifter_arguments, moving_bodies, to_sdf
from robo_stow.floor.world import (
    arm_body_name,
    arm_frames,
    feet_name,
    pod_name,
    storage_height,
    world_sdf,
)
from robo_stow.gazebo.fleet import GazeboFleet
from robo_stow.gazebo.scene import Scene
from robo_stow.gazebo.server import Server
from robo_stow.lifter.kinematics import DECK, POCKET, Joints
from robo_stow.messages import (
    Alarm,
    LifterFeedback,
    LiftResult,
    Load,
    Message,
    PalletArrived,
)
from robo_stow.sim.entities import RAISED
from robo_stow.sim.plant import Plant, start_charge

OUT_OF_THE_WAY = 20.0
"""m below the floor to which the legs of a carried pod go, as obstacles."""


class GazeboPlant:
    """As `robo_stow.sim.plant.Plant`, with a gzserver of its own for what moves.

    Physical: drive units (wheels, floor, kerbs, legs of standing pods in their way, the mass of
    what they carry). Set where they belong ten times a second: pods and pallets on units, pallets
    on the fork, bodies of the arms. Gazebo does so up to 0.2 s of wall time late, so the legs of a
    pod that is carried are no obstacle, and its unit waits until they are out of its way. People,
    packers, arrivals, batteries and faults are those of the embedded plant. Steps are lock-step:
    Gazebo waits for us between them.

    Args:
        building: the site.
        seed: of all that is random here.

    Public: ``plant``, ``fleet``, ``scene``.

    Raises:
        GazeboError: Gazebo is not there or does not start.
        InputError: as `Plant`.
    """

    consumes = Plant.consumes

    def __init__(self, building: Building, seed: int) -> None:
        self._building = building
        self._server = Server(world_sdf(building, seed, "classic"), seed)
        try:
            names = [building.unit_name(u) for u in range(building.units)]
            self.scene = Scene(self._server, names)
            self.fleet = GazeboFleet(building, seed, self.scene, start_charge(building, seed))
            self.plant = Plant(building, seed, self.fleet)
        except BaseException:
            self._server.close()
            raise
        self._floor = storage_height(building)
        self._sites = {site.id: site for site in building.lifters}
        self._arms = {
            site.id: expand("robo_stow", lifter_arguments(building, site))
            for site in building.lifters
        }
        self._bodies = {name: moving_bodies(urdf) for name, urdf in self._arms.items()}
        self._shown: dict[str, tuple[float, float, float]] = {}
        self._carried = np.full(building.units, -1, np.int32)
        self._docked: dict[str, str] = {}  # lifter: pallet that came last
        self._gripped: dict[str, bool] = dict.fromkeys(self._sites, False)
        self._turn: dict[str, float] = {}  # pallet: yaw
        self._pallet_on: dict[int, str] = {}
        self._told = 0  # of the units that were lost

    def close(self) -> None:
        """End Gazebo."""
        self._server.close()

    def __enter__(self) -> GazeboPlant:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def step(self, now: float, inbox: Sequence[Message]) -> list[Message]:
        """As `Plant.step`, for steps of 0.1 s; what has moved is shown in Gazebo.

        Raises:
            GazeboError: the server has ended or hangs.
        """
        said = self.plant.step(now, inbox)
        for message in inbox:
            if isinstance(message, LiftResult):
                self._lifted(message)
        for message in said:
            if isinstance(message, PalletArrived):
                self._arrive(message)
            elif isinstance(message, LifterFeedback):
                self._show_arm(message)
        self._show_loads()
        self.fleet.weigh()
        for unit in self.fleet.lost[self._told :]:
            name = self._building.unit_name(unit)
            said.append(Alarm(now, "sim", "plant", f"{name} has lost its place and stands"))
        self._told = len(self.fleet.lost)
        return said

    def displace(self, unit: int, x: float, y: float, yaw: float) -> None:
        """Refused by `GazeboFleet.place`."""
        self.plant.displace(unit, x, y, yaw)

    def remove(self, unit: int) -> None:
        """Refused: Gazebo's world has its units from the start.

        Raises:
            InputError: always.
        """
        raise InputError("Gazebo", "unit", unit, "cannot be taken away")

    def attended(self, station: str, there: bool) -> None:
        """As `Plant.attended`."""
        self.plant.attended(station, there)

    def figures(self, simulated: float, wall: float) -> dict[str, Any]:
        """What Gazebo adds to the report of a run of so many simulated and wall seconds."""
        physics = self.scene.wall_seconds
        return {
            "position_error_mm": _spread(self.fleet.standing),
            "passing_error_mm": _spread(self.fleet.passing),
            "units_lost": len(self.fleet.lost),
            "real_time_factor": round(simulated / wall, 2) if wall > 0 else 0.0,
            "gazebo_real_time_factor": round(simulated / physics, 2) if physics > 0 else 0.0,
        }

    # --- pallets and arms ----------------------------------------------------------------------

    def _arrive(self, pallet: PalletArrived) -> None:
        if pallet.lifter not in self._sites or self._docked.get(pallet.lifter) == pallet.pallet:
            return
        self._docked[pallet.lifter] = pallet.pallet
        site = self._sites[pallet.lifter]
        urdf = expand("pallet", {"load": max(1.0, round(pallet.weight - 25.0))})
        x, y, z = site.dock
        pose = f"{x:g} {y:g} {z:g} 0 0 0"
        self.scene.spawn(to_sdf(urdf, pallet.pallet, pose=pose, static=True, collide=False))
        self._turn[pallet.pallet] = 0.0

    def _show_arm(self, feedback: LifterFeedback) -> None:
        name, q = feedback.lifter, feedback.joint
        joint: Joints = (q[0], q[1], q[2], q[3], q[4], q[5])
        frames = arm_frames(self._building, self._sites[name], self._arms[name], joint)
        for body in self._bodies[name][1:]:
            self.scene.place_frame(arm_body_name(name, body), frames[body])
        pallet = self._docked.get(name)
        gripped = self.plant.lifters[name].gripped > 0.0
        if pallet is not None and gripped:
            tool = frames["tool"]
            yaw = float(np.arctan2(tool[1, 0], tool[0, 0]))
            if not self._gripped[name]:
                self._turn[pallet] -= yaw  # keeps its own turn on the fork
            x, y, z = (float(v) for v in tool[:3, 3])
            self.scene.place(pallet, (x, y, z - POCKET), yaw + self._turn[pallet])
        elif pallet is not None and self._gripped[name]:
            yaw = float(np.arctan2(frames["tool"][1, 0], frames["tool"][0, 0]))
            self._turn[pallet] += yaw
        self._gripped[name] = gripped

    def _lifted(self, result: LiftResult) -> None:
        pallet = self._docked.get(result.lifter)
        if pallet != result.pallet:
            return
        if result.ok and self.fleet.load[result.unit] == Load.PALLET:
            self._pallet_on[result.unit] = pallet
            del self._docked[result.lifter]
        elif not result.ok:
            del self._docked[result.lifter]
            self.scene.delete(pallet)

    # --- loads ---------------------------------------------------------------------------------

    def _show_loads(self) -> None:
        fleet, scene = self.fleet, self.scene
        for unit in np.flatnonzero((fleet.load_id >= 0) | (self._carried >= 0)).tolist():
            pod, was = int(fleet.load_id[unit]), int(self._carried[unit])
            if was >= 0 and was != pod:
                self._set(pod_name(was), self._at(unit, 0.0), 0.0)
                scene.place(feet_name(was), self._at(unit, 0.0), 0.0)
            if pod >= 0 and was != pod:
                scene.place(feet_name(pod), self._at(unit, -OUT_OF_THE_WAY), 0.0, watch=True)
            fleet.held[unit] = pod >= 0 and not scene.arrived(feet_name(pod))
            if pod >= 0:
                self._set(pod_name(pod), self._at(unit, RAISED - 0.03), 0.0)
            self._carried[unit] = pod
        for unit, pallet in list(self._pallet_on.items()):
            if fleet.load[unit] == Load.PALLET:
                self._set(pallet, self._at(unit, DECK), self._turn[pallet])
            else:
                scene.delete(pallet)
                del self._pallet_on[unit]

    def _at(self, unit: int, up: float) -> tuple[float, float, float]:
        scene = self.scene
        return float(scene.x[unit]), float(scene.y[unit]), self._floor + up

    def _set(self, model: str, at: tuple[float, float, float], yaw: float) -> None:
        if self._shown.get(model) != at:
            self._shown[model] = at
            self.scene.place(model, at, yaw)


def _spread(metres: Sequence[float]) -> dict[str, Any]:
    values = 1000.0 * np.array(metres if len(metres) else [0.0])
    return {
        "p50": round(float(np.quantile(values, 0.5)), 2),
        "p99": round(float(np.quantile(values, 0.99)), 2),
        "max": round(float(values.max()), 2),
        "samples": len(metres),
    }
