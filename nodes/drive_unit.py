"""Node of one drive unit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from nav_msgs.msg import Path
from robo_stow_interfaces.msg import Heartbeat, UnitState
from robo_stow_nodes import parameters, qos, topics
from robo_stow_nodes.conversions import UnitStateCodec
from robo_stow_nodes.robot import Drives, Navigation, Sensors, path_of
from robo_stow_nodes.shell import CoreNode, run_alone
from std_srvs.srv import Trigger

from robo_stow.drive.navigation import NavigationCore
from robo_stow.drive.robot import (
    CancelGoal,
    Goal,
    GoalKind,
    PlatformTarget,
    Reset,
    TrafficHeard,
    Velocity,
)
from robo_stow.drive.unit import DriveUnitCore, UnitCore
from robo_stow.drive.wheels import WheelsCore
from robo_stow.errors import InputError
from robo_stow.floor.building import YAW
from robo_stow.messages import Alarm, Core, FleetState

TRAFFIC_MANAGER = "traffic_manager"
"""Name of the node whose heartbeats tell that releases may come."""


class DriveUnitNode(CoreNode):
    """One robot. Follows its part of the fleet's release and nothing else.

    Publishes:
        /<unit>/state (UnitState): 10 times a second.
        /<unit>/path (nav_msgs/Path): what is released and not yet driven, on change.
        /alarms (Alarm)
        backend cmd_vel: /<unit>/cmd_vel (geometry_msgs/TwistStamped): every period, zero included;
            /tf: "map" to the frame of the odometry.
        platform joints: /<unit>/platform/joint_trajectory (trajectory_msgs/JointTrajectory):
            lift_joint (m) and platform_joint (rad), every period.

    Subscribes:
        /fleet/release (Release)
        /fleet/keep_outs (KeepOuts): the unit stands while its way leads through a closed zone.
        /fleet/pod_places (PodPlaces): pods that others have moved.
        /lifters/<id>/pallet_arrived (PalletArrived), /lifters/<id>/result (LiftResult),
        /stations/<id>/visit_done (VisitDone): pallets set on and taken off the unit.
        /heartbeat (Heartbeat): of the traffic manager.
        /<unit>/emergency_stop (std_msgs/Bool): true while pressed; acted on at once.
        /<unit>/battery_state (sensor_msgs/BatteryState): the model's estimate without it.
        backend cmd_vel: /<unit>/odom (nav_msgs/Odometry); /<unit>/fiducial
            (geometry_msgs/PoseStamped): the unit's pose in "map" as a fiducial tells it.
        platform joints: /<unit>/joint_states (sensor_msgs/JointState)

    Serves:
        /<unit>/reset (std_srvs/Trigger): go on after an emergency stop or a fault.

    Acts (backend nav2): /<unit>/follow_path or /<unit>/navigate_through_poses, /<unit>/spin.

    Parameters: those of `CoreNode`, and
        unit (int): index of the unit in the fleet.
        backend (str): kinematic, cmd_vel or nav2.
        start (str): building: at its start place; fiducial: at the first it sees (cmd_vel).
        platform (str): joints, or timed: handling takes the times of the drive profile.
        navigation (str): follow_path or through_poses (nav2).
        controller_id (str): Nav2's controller; empty: its only one.
    """

    KIND = "drive_unit"
    PUBLISHES = (Alarm,)

    def build(self) -> Sequence[Core]:
        def declare(name: str, text: str, *known: str) -> str:
            value: str = parameters.declare(self, self.KIND, name, text)
            if known and value not in known:
                raise InputError(self.KIND, name, value, f"one of {', '.join(known)} expected")
            return value

        unit: int = parameters.declare(
            self, self.KIND, "unit", "index of the unit in the fleet", (0, 100_000)
        )
        if unit >= self.building.units:
            raise InputError(self.KIND, "unit", unit, f"0 to {self.building.units - 1} expected")
        self._name = self.building.unit_name(unit)
        backend = declare("backend", "what moves the unit", "kinematic", "cmd_vel", "nav2")
        start = declare("start", "where the unit begins", "building", "fiducial")
        platform = declare("platform", "lift and turntable", "timed", "joints") == "joints"
        known = [kind.name.lower() for kind in (GoalKind.FOLLOW_PATH, GoalKind.THROUGH_POSES)]
        goals = declare("navigation", "Nav2 goals for straight runs", *known)
        self._controller = declare("controller_id", "Nav2's controller; empty: its only one")
        if start == "fiducial" and backend != "cmd_vel":
            raise InputError(self.KIND, "start", start, "only with backend cmd_vel")
        core: UnitCore
        if backend == "cmd_vel":
            core = WheelsCore(
                self.building,
                self.seed,
                unit,
                located=start == "building",
                platform=platform,
            )
        elif backend == "nav2":
            kind = GoalKind[goals.upper()]
            core = NavigationCore(self.building, self.seed, unit, kind=kind, platform=platform)
        else:
            core = DriveUnitCore(self.building, self.seed, unit)
        self._core = core
        return (core,)

    def connect(self) -> None:
        super().connect()
        codec = UnitStateCodec()
        state = self.create_publisher(UnitState, self._topic(topics.UNIT_STATE), qos.STATE)
        self.outlets[FleetState] = lambda record: state.publish(codec.encode(record))
        self._path = self.create_publisher(Path, self._topic(topics.UNIT_PATH), qos.STATE)
        self._shown = (-1, -1)  # epoch and end of the path last published
        self.create_subscription(Heartbeat, topics.HEARTBEAT, self._on_heartbeat, qos.COMMAND)
        self.create_service(Trigger, self._topic(topics.UNIT_RESET), self._on_reset)
        self._sensors = Sensors(self, self._name, self.deliver, self._at_once, self.reject)
        self._drives: Drives | None = None
        if not isinstance(self._core, DriveUnitCore):
            self._drives = Drives(self, self._name)
            self.outlets[PlatformTarget] = self._drives.move_platform
        if isinstance(self._core, WheelsCore):
            assert self._drives is not None
            self.outlets[Velocity] = self._drives.command
        if isinstance(self._core, NavigationCore):
            navigation = Navigation(self, self._name, self._controller, self.deliver)
            self.outlets[Goal] = navigation.send
            self.outlets[CancelGoal] = navigation.cancel

    def _topic(self, name: str) -> str:
        return topics.topic(name, unit=self._name)

    def _at_once(self, record: Any) -> None:
        self.deliver(record)
        self.step(self.now())

    def _on_heartbeat(self, beat: Heartbeat) -> None:
        if beat.node == TRAFFIC_MANAGER:
            self.deliver(TrafficHeard())

    def _on_reset(self, _: Trigger.Request, answer: Trigger.Response) -> Trigger.Response:
        self._at_once(Reset())
        answer.success = not self._core.stopped
        answer.message = "" if answer.success else "the emergency stop is pressed"
        return answer

    def step(self, now: float) -> None:
        super().step(now)
        if isinstance(self._core, WheelsCore) and self._drives is not None:
            correction = self._core.correction
            if correction is not None and self._sensors.odometry_frame:
                self._drives.correct(self._sensors.odometry_frame, correction)
        books = self._core.books
        shown = (int(books.epoch[0]), int(books.released[0]))
        if shown != self._shown and self._path.get_subscription_count():
            self._shown = shown
            _, cells = books.pending(self._core.unit)
            x, y = self.building.grid.xy(np.array([books.cell[0], *cells], np.int32))
            self._path.publish(path_of(self, x, y, np.full(len(x), YAW[books.heading[0]])))

    def destroy_node(self) -> None:
        # However the node ends, the wheels stand.
        if Velocity in getattr(self, "outlets", {}) and self.context.ok():
            self.outlets[Velocity](Velocity(0.0, 0.0))
        super().destroy_node()


def main(args: Sequence[str] | None = None) -> int:
    """Run the node as a process."""
    return run_alone(DriveUnitNode, args)


if __name__ == "__main__":
    raise SystemExit(main())
