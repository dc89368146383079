"""Gazebo worlds of a building: both levels and everything that stands on them as it opens.

Two dialects from one source. **Harmonic** (gz sim 8) carries its system plugins; drive units take
``/model/unit_NNNN/cmd_vel``, their lift, platform and the arms' joints
``/model/NAME/joint/JOINT/cmd_pos``. **Classic** (gzserver 11) takes ``~/unit_NNNN/vel_cmd``; as its
joints cannot be commanded over Gazebo's transport, lift and platform of a unit are rigid there and
each body of an arm is a model of its own, which whoever runs the world moves
(`robo_stow.gazebo.plant`). In both, pods are static models that are set where they belong; in
Classic their legs, which units can hit, are models apart (`feet_name`): a pod that is carried
follows its unit late there and must be no obstacle.

The world's frame is the building's: x east, y north, z from the dock floor.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from robo_stow.errors import InputError
from robo_stow.floor.building import YAW, Building, CellKind, LifterSite, Station
from robo_stow.floor.start import pod_cells, unit_cells
from robo_stow.floor.urdf import (
    F64,
    body_frames,
    colored,
    drive_unit_arguments,
    expand,
    indented,
    lifter_arguments,
    moving_bodies,
    pod_arguments,
    pose_text,
    to_sdf,
)
from robo_stow.lifter.kinematics import Joints, poses

TARGETS = ("harmonic", "classic")
STEP = 0.005
"""s, physics step."""
REFLECTED = 2.0
"""kg m^2, a rotor of 0.0014 kg m^2 behind a gear of 38:1, as a wheel feels it. Classic's drive
plugin sets the wheels' speed: this is what it pushes the unit with."""
RIGID = ("lift_joint", "platform_joint")
"""Joints of a drive unit that Classic leaves rigid."""

ARM_JOINTS = tuple(f"joint_{i}" for i in range(1, 7))
"""Joints of a Robo-Stow's arm, from its foot on."""
LOAD_HEIGHT = 0.05
"""m from the floor to the feet of a pod that is carried, in a Harmonic world."""
SLAB = 0.2
"""m, thickness of the storage floor."""
_KERB = (0.05, 0.15)
"""m, width and height of the kerb round the floor."""
_MARGIN = 4.0
"""m the dock floor reaches beyond the storage floor and the docks."""

_FLOOR = {
    CellKind.TRAVEL: "0.80 0.82 0.85 1",
    CellKind.STORAGE: "0.66 0.71 0.77 1",
    CellKind.QUEUE: "0.96 0.88 0.66 1",
    CellKind.STATION: "0.88 0.45 0.38 1",
    CellKind.HANDOFF: "0.66 0.55 0.85 1",
    CellKind.CHARGER: "0.55 0.80 0.94 1",
    CellKind.PALLET: "0.55 0.80 0.62 1",
}


def pod_name(pod: int) -> str:
    """Name of a pod's model."""
    return f"pod_{pod:05d}"


def load_name(unit: str) -> str:
    """Name of the model of what the unit ``unit`` carries, in a Harmonic world."""
    return f"{unit}_load"


def feet_name(pod: int) -> str:
    """Name of the model of a pod's legs as obstacles, in a Classic world."""
    return f"{pod_name(pod)}_feet"


def arm_body_name(lifter: str, body: str) -> str:
    """Name of the model that is one body of an arm, in a Classic world."""
    return f"{lifter}_{body}"


def arm_frames(building: Building, site: LifterSite, urdf: str, joint: Joints) -> dict[str, F64]:
    """Frames F64[4, 4] of the links of a site's arm in the world, by link, from the arm's URDF."""
    base = np.eye(4)
    base[:3, 3] = (site.base[0], site.base[1], building.levels[0].height)
    at = dict(zip(ARM_JOINTS, joint, strict=True))
    return {link: base @ frame for link, frame in body_frames(urdf, at).items()}


def world_sdf(building: Building, seed: int, target: str, units: int | None = None) -> str:
    """The building as it opens, as an SDF world.

    Args:
        seed: of the start places of pods and units.
        target: "harmonic" or "classic".
        units: number of drive units, the building's by default.

    Raises:
        InputError: unknown target, or more units than the building has.
        RoboStowError: xacro is not installed.
    """
    if target not in TARGETS:
        raise InputError("world", "target", target, f"one of {', '.join(TARGETS)} expected")
    if units is not None and not 0 <= units <= building.units:
        raise InputError("world", "units", units, f"must be 0 to {building.units}")
    harmonic = target == "harmonic"
    parts = [
        f'<sdf version="{"1.9" if harmonic else "1.6"}"><world name="default">',
        _HARMONIC if harmonic else _CLASSIC,
        _SCENE,
        _ground(building),
        _storage_floor(building),
    ]
    parts += [_station(building, station) for station in building.stations]
    for site in building.lifters:
        parts += _lifter(building, site, harmonic)
    parts += _pods(building, seed, harmonic)
    parts += _units(building, seed, harmonic, building.units if units is None else units)
    parts.append("</world></sdf>")
    return '<?xml version="1.0"?>\n' + indented("".join(parts))


# --- what moves --------------------------------------------------------------------------------


def storage_height(building: Building) -> float:
    """World z (m) of the storage floor."""
    return next(level.height for level in building.levels if level.storage)


def _units(building: Building, seed: int, harmonic: bool, count: int) -> Iterator[str]:
    for unit, pose in enumerate(unit_poses(building, seed)[:count]):
        at = " ".join(f"{value:.6g}" for value in (*pose[:3], 0.0, 0.0, pose[3]))
        yield unit_sdf(building, unit, harmonic, at)


def unit_poses(building: Building, seed: int) -> list[tuple[float, float, float, float]]:
    """World x, y, z (m) and yaw (rad) of the drive units' start places."""
    cells, headings = unit_cells(building, seed)
    x, y = building.grid.xy(cells)
    z = storage_height(building)
    yaw = (YAW[heading] for heading in headings.tolist())
    return [(px, py, z, turned) for px, py, turned in zip(x.tolist(), y.tolist(), yaw, strict=True)]


def unit_sdf(building: Building, unit: int, harmonic: bool, pose: str = "0 0 0 0 0 0") -> str:
    """A drive unit as a model, with its plugins."""
    name = building.unit_name(unit)
    extra = _harmonic_drive(building, name) if harmonic else _classic_drive(building)
    rigid = () if harmonic else RIGID
    return to_sdf(_unit_urdf(building), name, pose=pose, rigid=rigid, extra=extra)


@lru_cache(maxsize=4)
def _unit_urdf(building: Building) -> str:
    return expand("drive_unit", {**drive_unit_arguments(building), "reflected_inertia": REFLECTED})


def _classic_drive(building: Building) -> str:
    drive = building.drive
    torque = (drive.mass + drive.payload) * drive.acceleration * 0.1
    return (
        '<plugin name="drive" filename="libDiffDrivePlugin.so">'
        "<left_joint>left_wheel_joint</left_joint><right_joint>right_wheel_joint</right_joint>"
        f"<torque>{torque:g}</torque></plugin>"
    )


def _harmonic_drive(building: Building, name: str) -> str:
    drive = building.drive
    turn = 2 * math.pi / drive.turn_time
    joints = "".join(
        _position_controller(name, joint, speed)
        for joint, speed in (("lift_joint", 0.12 / drive.lift_time), ("platform_joint", turn))
    )
    return (
        '<plugin filename="gz-sim-diff-drive-system" name="gz::sim::systems::DiffDrive">'
        "<left_joint>left_wheel_joint</left_joint><right_joint>right_wheel_joint</right_joint>"
        f"<wheel_separation>{0.7 * drive.footprint:g}</wheel_separation>"
        "<wheel_radius>0.1</wheel_radius>"
        f"<max_linear_acceleration>{1.5 * drive.acceleration:g}</max_linear_acceleration>"
        f"<min_linear_acceleration>{-1.5 * drive.acceleration:g}</min_linear_acceleration>"
        f"<topic>/model/{name}/cmd_vel</topic><odom_topic>/model/{name}/odometry</odom_topic>"
        f"<tf_topic>/model/{name}/tf</tf_topic><frame_id>{name}/odom</frame_id>"
        f"<child_frame_id>{name}/base_footprint</child_frame_id>"
        "<odom_publish_frequency>50</odom_publish_frequency></plugin>"
        '<plugin filename="gz-sim-pose-publisher-system" name="gz::sim::systems::PosePublisher">'
        "<publish_link_pose>false</publish_link_pose><publish_model_pose>true</publish_model_pose>"
        "<publish_nested_model_pose>true</publish_nested_model_pose>"
        "<update_frequency>50</update_frequency></plugin>" + joints + _load_joint(name)
    )


def _load_joint(name: str) -> str:
    """Holds the model `load_name` to the platform as soon as there is one, until it is let go."""
    load = f"/model/{name}/load"
    return (
        '<plugin filename="gz-sim-detachable-joint-system" '
        'name="gz::sim::systems::DetachableJoint">'
        f"<parent_link>platform</parent_link><child_model>{load_name(name)}</child_model>"
        "<child_link>pod</child_link><suppress_child_warning>true</suppress_child_warning>"
        f"<attach_topic>{load}/attach</attach_topic><detach_topic>{load}/detach</detach_topic>"
        f"<output_topic>{load}/state</output_topic></plugin>"
    )


def _position_controller(model: str, joint: str, speed: float, start: float = 0.0) -> str:
    return (
        '<plugin filename="gz-sim-joint-position-controller-system" '
        'name="gz::sim::systems::JointPositionController">'
        f"<joint_name>{joint}</joint_name><topic>/model/{model}/joint/{joint}/cmd_pos</topic>"
        "<use_velocity_commands>true</use_velocity_commands>"
        f"<initial_position>{start:.4f}</initial_position>"
        f"<cmd_max>{speed:.4g}</cmd_max><cmd_min>{-speed:.4g}</cmd_min></plugin>"
    )


def pod_sdf(building: Building, name: str, static: bool) -> str:
    """A pod of a Harmonic world as an SDF file, to be spawned."""
    urdf = expand("pod", {**pod_arguments(building), "detail": "false"})
    return f'<sdf version="1.9">{to_sdf(urdf, name, static=static)}</sdf>'


def _pods(building: Building, seed: int, harmonic: bool) -> Iterator[str]:
    urdf = expand("pod", {**pod_arguments(building), "detail": "false"})
    cells = pod_cells(building, seed)
    x, y = building.grid.xy(cells)
    z = storage_height(building)
    for pod in range(len(cells)):
        pose = f"{x[pod]:g} {y[pod]:g} {z:g} 0 0 0"
        yield to_sdf(urdf, pod_name(pod), pose=pose, static=True, collide=harmonic)
        if not harmonic:
            yield to_sdf(urdf, feet_name(pod), pose=pose, static=True, collide="leg", visible=False)


def _lifter(building: Building, site: LifterSite, harmonic: bool) -> Iterator[str]:
    urdf = expand("robo_stow", lifter_arguments(building, site))
    parked = poses(building, site).parked[-1]
    if harmonic:
        plugins = "".join(
            _position_controller(site.id, joint, speed, angle)
            for joint, speed, angle in zip(
                ARM_JOINTS, building.lifter.joint_speed, parked, strict=True
            )
        )
        pose = f"{site.base[0]:g} {site.base[1]:g} {building.levels[0].height:g} 0 0 0"
        anchor = (
            '<joint name="anchor" type="fixed"><parent>world</parent><child>base_link</child>'
            "</joint>"
        )
        yield to_sdf(urdf, site.id, pose=pose, extra=anchor + plugins)
        return
    frames = arm_frames(building, site, urdf, parked)
    for body in moving_bodies(urdf):
        yield to_sdf(
            urdf,
            arm_body_name(site.id, body),
            pose=pose_text(frames[body]),
            static=True,
            collide=body == "base_link",
            only=body,
        )


# --- what stands -------------------------------------------------------------------------------


def _station(building: Building, station: Station) -> str:
    x, y, yaw = station_place(building, station)
    pose = f"{x:.4g} {y:.4g} {storage_height(building):g} 0 0 {yaw:.6g}"
    return to_sdf(expand("station", {"kind": station.kind}), station.id, pose=pose, static=True)


def station_place(building: Building, station: Station) -> tuple[float, float, float]:
    """World x, y (m) of a station's desk and the yaw (rad) in which its person looks at the pod.

    Beside its work cell, on the side that is a wall.
    """
    grid = building.grid
    walls = [
        heading
        for heading in range(4)
        if grid.neighbour(station.cell, heading) < 0
        or grid.kind[grid.neighbour(station.cell, heading)] == CellKind.WALL
    ]
    heading = walls[0] if walls else 1
    if station.pallet_cell >= 0:  # between the pod and the pallet
        (x0, x1), (y0, y1) = grid.xy(np.array([station.cell, station.pallet_cell], np.int32))
        wanted = math.atan2(y1 - y0, x1 - x0)
        heading = min(
            walls or [heading], key=lambda h: abs(math.remainder(YAW[h] - wanted, 2 * math.pi))
        )
    x, y = (float(v[0]) for v in grid.xy(np.array([station.cell], np.int32)))
    yaw = YAW[heading]
    away = grid.pitch / 2 + 0.5
    turned = math.remainder(yaw + math.pi, 2 * math.pi)
    return x + away * math.cos(yaw), y + away * math.sin(yaw), turned


def _ground(building: Building) -> str:
    """Dock floor, below everything, and a table for the pallets of each arm."""
    grid = building.grid
    xs = [0.0, grid.width * grid.pitch, *(site.dock[0] for site in building.lifters)]
    ys = [0.0, grid.height * grid.pitch, *(site.dock[1] for site in building.lifters)]
    z = building.levels[0].height
    size = (max(xs) - min(xs) + 2 * _MARGIN, max(ys) - min(ys) + 2 * _MARGIN)
    middle = ((max(xs) + min(xs)) / 2, (max(ys) + min(ys)) / 2)
    out = [
        '<model name="dock_floor"><static>true</static><link name="floor">',
        _box("floor", (*middle, z - 0.1), (*size, 0.2), "0.58 0.60 0.62 1", collide=True),
    ]
    for site in building.lifters:
        x, y, dock = site.dock
        tall = dock - z
        out.append(
            _box(f"{site.id}_table", (x, y, z + tall / 2), (1.2, 1.2, tall), "0.92 0.78 0.30 1")
        )
    out.append("</link></model>")
    return "".join(out)


def _storage_floor(building: Building) -> str:
    """One slab to drive on, cells coloured by what they are for, fiducials, kerbs, pillars."""
    grid, top = building.grid, storage_height(building)
    width, height, pitch = grid.width, grid.height, grid.pitch
    out = ['<model name="storage_floor"><static>true</static><link name="floor">']
    # One box: wheels must not meet seams.
    size = (width * pitch, height * pitch, SLAB)
    out.append(
        f'<collision name="slab"><pose>{size[0] / 2:g} {size[1] / 2:g} {top - SLAB / 2:g} 0 0 0'
        f"</pose><geometry><box><size>{size[0]:g} {size[1]:g} {SLAB:g}</size></box></geometry>"
        "</collision>"
    )
    kind = grid.kind.reshape(height, width)
    for row in range(height):
        y = (height - row - 0.5) * pitch
        for first, end in _runs(kind[row]):
            color = _FLOOR.get(CellKind(int(kind[row, first])))
            if color is not None:
                at = ((first + end) / 2 * pitch, y, top - SLAB / 2)
                size = ((end - first) * pitch, pitch, SLAB)
                out.append(_box(f"cells_{row}_{first}", at, size, color))
    xs, ys = grid.xy(np.flatnonzero(grid.kind != CellKind.WALL).astype(np.int32))
    for i in range(len(xs)):
        at = (float(xs[i]), float(ys[i]), top)
        out.append(_box(f"fiducial_{i}", at, (0.08, 0.08, 0.001), "0.1 0.1 0.1 1"))
    for i, (middle, sides) in enumerate(kerbs(building)):
        out.append(_box(f"kerb_{i}", middle, sides, "0.93 0.72 0.20 1", collide=True))
    if top > 1.0:
        edge = 0.5 * pitch
        for i, px in enumerate(np.linspace(edge, width * pitch - edge, 4)):
            for j, py in enumerate(np.linspace(edge, height * pitch - edge, 4)):
                cell = int(grid.cell_at(np.array([px]), np.array([py]))[0])
                if grid.kind[cell] != CellKind.WALL:
                    at = (float(px), float(py), (top - SLAB) / 2)
                    out.append(
                        _box(f"pillar_{i}_{j}", at, (0.3, 0.3, top - SLAB), "0.5 0.53 0.56 1")
                    )
    out.append("</link></model>")
    return "".join(out)


def _runs(row: np.ndarray) -> Iterator[tuple[int, int]]:
    """Stretches of equal values: first index and the one behind the last."""
    cuts = np.flatnonzero(np.diff(row)) + 1
    edges = [0, *cuts.tolist(), len(row)]
    yield from zip(edges[:-1], edges[1:], strict=True)


def kerbs(building: Building) -> Iterator[tuple[tuple[float, ...], tuple[float, ...]]]:
    """Middle and size of the kerbs along all borders between floor and wall."""
    grid, pitch = building.grid, building.grid.pitch
    floor = np.pad(grid.kind.reshape(grid.height, grid.width) != CellKind.WALL, 1)
    wide, high = _KERB
    z = storage_height(building) + high / 2
    for across in (True, False):
        # Borders between each line of cells and the next; +1: floor begins, -1: floor ends.
        lines = floor.astype(np.int8) if across else floor.T.astype(np.int8)
        borders = np.diff(lines, axis=0)
        for line, border in enumerate(borders):
            for first, end in _runs(border):
                side = int(border[first])
                if side == 0:
                    continue
                along = ((first + end) / 2 - 1) * pitch
                at = line * pitch - side * wide / 2
                length = (end - first) * pitch
                if across:
                    yield (along, grid.height * pitch - at, z), (length, wide, high)
                else:
                    yield (at, grid.height * pitch - along, z), (wide, length, high)


def _box(
    name: str,
    at: tuple[float, ...],
    size: tuple[float, ...],
    rgba: str,
    collide: bool = False,
) -> str:
    pose = " ".join(f"{round(v, 4):g}" for v in at) + " 0 0 0"
    shape = " ".join(f"{round(v, 4):g}" for v in size)
    geometry = f"<pose>{pose}</pose><geometry><box><size>{shape}</size></box></geometry>"
    solid = f'<collision name="{name}_solid">{geometry}</collision>' if collide else ""
    return f'{solid}<visual name="{name}">{geometry}{colored(rgba)}</visual>'


# --- the world itself --------------------------------------------------------------------------

_SCENE = (
    "<scene><ambient>0.6 0.6 0.6 1</ambient><background>0.80 0.86 0.92 1</background>"
    "<shadows>false</shadows></scene>"
    '<light name="sun" type="directional"><pose>0 0 30 0 0 0</pose>'
    "<diffuse>0.8 0.8 0.8 1</diffuse><specular>0.2 0.2 0.2 1</specular>"
    "<direction>-0.4 0.3 -0.9</direction><cast_shadows>false</cast_shadows></light>"
)

_HARMONIC = (
    f'<physics name="default" type="ode"><max_step_size>{STEP:g}</max_step_size>'
    "<real_time_factor>1</real_time_factor></physics>"
    + "".join(
        f'<plugin filename="gz-sim-{file}-system" name="gz::sim::systems::{name}"/>'
        for file, name in (
            ("physics", "Physics"),
            ("user-commands", "UserCommands"),
            ("scene-broadcaster", "SceneBroadcaster"),
            ("contact", "Contact"),
        )
    )
    + '<plugin filename="gz-sim-sensors-system" name="gz::sim::systems::Sensors">'
    "<render_engine>ogre2</render_engine></plugin>"
)

# With over-relaxation (SOR above 1) units that stand creep sideways, half a millimetre a second.
# Up to ten times as fast as reality; without a limit a paused world would keep a core busy.
_CLASSIC = (
    f'<physics type="ode"><max_step_size>{STEP:g}</max_step_size>'
    "<real_time_update_rate>2000</real_time_update_rate><max_contacts>2</max_contacts>"
    "<ode><solver><type>quick</type><iters>20</iters><sor>1</sor></solver>"
    "<constraints><cfm>0</cfm><erp>0.2</erp>"
    "<contact_max_correcting_vel>1</contact_max_correcting_vel>"
    "<contact_surface_layer>0.0005</contact_surface_layer></constraints></ode></physics>"
)
