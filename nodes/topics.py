"""Names on the ROS graph.

A name in braces is a field of the record: records of one station or lifter travel on a topic of
their own. Names are relative: a second site on one graph takes a namespace. Absolute are only the
clock and the diagnostics, where ROS looks for them.
"""

from __future__ import annotations

import re

from robo_stow import messages as records
from robo_stow.inventory import requests

TOPICS: dict[type, str] = {
    records.FleetState: "fleet/state",
    records.Release: "fleet/release",
    records.Errands: "fleet/errands",
    records.ErrandReports: "fleet/errand_reports",
    records.PodPlaces: "fleet/pod_places",
    records.PodRegister: "inventory/pod_register",
    records.KeepOuts: "fleet/keep_outs",
    records.Alarm: "alarms",
    records.PalletArrived: "lifters/{lifter}/pallet_arrived",
    records.LiftResult: "lifters/{lifter}/result",
    records.LifterCommand: "lifters/{lifter}/command",
    records.LifterFeedback: "lifters/{lifter}/feedback",
    records.LifterState: "lifters/{lifter}/state",
    records.OrderArrived: "orders/arrived",
    records.ToteReady: "orders/tote_ready",
    records.TotePacked: "orders/tote_packed",
    records.OrderShipped: "orders/shipped",
    records.PickVisit: "stations/{station}/pick_visit",
    records.StowVisit: "stations/{station}/stow_visit",
    records.VisitDone: "stations/{station}/visit_done",
    records.Instruct: "stations/{station}/instruct",
    records.Scan: "stations/{station}/scan",
    records.Put: "stations/{station}/put",
    records.StockLevels: "inventory/stock_levels",
    records.PodSpace: "inventory/pod_space",
}
"""Topic of each record."""

SERVICES: dict[type, str] = {
    records.ReceiveRequest: "inventory/receive",
    records.ReserveRequest: "inventory/reserve",
    records.CancelRequest: "inventory/cancel",
    records.PickRequest: "inventory/pick",
    records.ProposeRequest: "inventory/propose",
    records.StowRequest: "inventory/stow",
    records.ShipRequest: "inventory/ship",
    records.MovePodRequest: "inventory/move_pod",
    requests.ReceiveLotsRequest: "inventory/receive_lots",
    requests.AdjustRequest: "inventory/adjust",
    requests.RestowRequest: "inventory/restow",
    requests.CountRequest: "inventory/count",
    requests.FindRequest: "inventory/find",
    requests.AuditRequest: "inventory/audit",
}
"""Service of each request and question."""

COMMANDS: dict[type, str] = {
    records.ZoneCommand: "fleet/zone",
    records.UnitReset: "fleet/reset_unit",
}
"""Service of each command that people give to the traffic manager."""

ARM_JOINT = "lifters/{lifter}/{joint}/cmd_pos"
LIFT = "lifters/{lifter}/lift"
FOLLOW = "lifters/{lifter}/joint_trajectory_controller/follow_joint_trajectory"
JOINT_STATES = "lifters/{lifter}/joint_states"
WRENCH = "lifters/{lifter}/wrench"
EMERGENCY_STOP = "lifters/{lifter}/emergency_stop"
HEARTBEAT = "heartbeat"
CLOCK = "/clock"
KPI = "kpi"
DIAGNOSTICS = "/diagnostics"
MAP = "floor/map"
MARKERS = "floor/markers"
PLACES = "floor/places"
PODS = "floor/pods"
TF = "tf"
MODEL_STATES = "gazebo/model_states"
GET_ENTITY_STATE = "gazebo/get_entity_state"
SET_ENTITY_STATE = "gazebo/set_entity_state"
SPAWN_ENTITY = "spawn_entity"
DELETE_ENTITY = "delete_entity"
GET_MODEL_LIST = "get_model_list"
HARMONIC_CREATE = "/world/default/create"
HARMONIC_REMOVE = "/world/default/remove"
UNIT_STATE = "{unit}/state"

# Of a robot that is a node of its own.
UNIT_COMMAND = "{unit}/cmd_vel"
UNIT_ODOMETRY = "{unit}/odom"
UNIT_FIDUCIAL = "{unit}/fiducial"
UNIT_JOINTS = "{unit}/joint_states"
UNIT_PLATFORM = "{unit}/platform/joint_trajectory"
UNIT_BATTERY = "{unit}/battery_state"
UNIT_STOP = "{unit}/emergency_stop"
UNIT_RESET = "{unit}/reset"
UNIT_LOAD_ATTACH = "{unit}/load/attach"
UNIT_LOAD_DETACH = "{unit}/load/detach"
UNIT_LOAD_STATE = "{unit}/load/state"
UNIT_PATH = "{unit}/path"
UNIT_FOLLOW_PATH = "{unit}/follow_path"
UNIT_THROUGH_POSES = "{unit}/navigate_through_poses"
UNIT_SPIN = "{unit}/spin"


def place_of(record: type) -> str | None:
    """Field that names the station or lifter of a record; None for records of the whole site."""
    field = re.search(r"\{(\w+)\}", TOPICS[record])
    return field[1] if field else None


def topic(name: str, **place: str) -> str:
    """The name for one station, lifter or unit; what ROS names cannot hold becomes ``_``."""
    return name.format(**{key: re.sub(r"\W", "_", value) for key, value in place.items()})
