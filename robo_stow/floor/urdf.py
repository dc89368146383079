"""Robot descriptions: ``urdf/*.urdf.xacro`` with a building's figures, as URDF and as SDF.

The URDF files are the one source of shapes and masses; Gazebo's worlds are made from them.
"""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from collections.abc import Collection, Mapping
from xml.parsers.expat import ExpatError

import numpy as np
from numpy.typing import NDArray

from robo_stow.errors import InputError, RoboStowError
from robo_stow.floor.building import Building, LifterSite
from robo_stow.resources import share_dir

F64 = NDArray[np.float64]

FRICTIONLESS = "castor"
"""Collisions whose names begin so slide without friction."""


def expand(name: str, arguments: Mapping[str, object] | None = None) -> str:
    """URDF of ``urdf/NAME.urdf.xacro`` with the given xacro arguments.

    Raises:
        RoboStowError: the file or xacro is not there, or an argument cannot be used.
    """
    try:
        import xacro  # type: ignore[import-not-found, import-untyped, unused-ignore]
    except ImportError:
        raise RoboStowError("xacro is not installed; run `make setup`") from None
    path = share_dir() / "urdf" / f"{name}.urdf.xacro"
    mappings = {key: str(value) for key, value in (arguments or {}).items()}
    try:
        return str(xacro.process_file(str(path), mappings=mappings).toxml())
    except (xacro.XacroException, ExpatError, OSError) as error:
        raise RoboStowError(f"{path}: {error}") from None


def drive_unit_arguments(building: Building) -> dict[str, object]:
    """xacro arguments of a drive unit of the building."""
    drive = building.drive
    names = ("footprint", "mass", "max_speed", "acceleration", "payload", "lift_time")
    return {name: getattr(drive, name) for name in names}


def pod_arguments(building: Building) -> dict[str, object]:
    """xacro arguments of a pod of the building, half full."""
    pod = building.pod
    return {
        "size": pod.size,
        "mass": pod.mass,
        "load": building.stock.fill * pod.capacity,
        "faces": pod.faces,
        "shelves": " ".join(f"{shelf.bins}x{shelf.height:g}" for shelf in pod.shelves),
    }


def lifter_arguments(building: Building, site: LifterSite) -> dict[str, object]:
    """xacro arguments of a Robo-Stow of the building."""
    return {
        "plinth": site.base[2] - building.levels[0].height,
        "rated_load": building.lifter.rated_load,
        "joint_speed": " ".join(f"{v:g}" for v in building.lifter.joint_speed),
    }


# --- geometry ----------------------------------------------------------------------------------


def rotation(roll: float, pitch: float, yaw: float) -> F64:
    """F64[3, 3] of fixed-axis roll, pitch, yaw (rad), as URDF and SDF have them."""
    cr, sr, cp, sp = math.cos(roll), math.sin(roll), math.cos(pitch), math.sin(pitch)
    cy, sy = math.cos(yaw), math.sin(yaw)
    return np.array(
        [
            [cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr],
            [sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr],
            [-sp, cp * sr, cp * cr],
        ]
    )


def roll_pitch_yaw(matrix: F64) -> tuple[float, float, float]:
    """Inverse of `rotation`."""
    pitch = math.asin(min(1.0, max(-1.0, -float(matrix[2, 0]))))
    if abs(math.cos(pitch)) < 1e-9:
        return math.atan2(-matrix[1, 2], matrix[1, 1]), pitch, 0.0
    return (
        math.atan2(matrix[2, 1], matrix[2, 2]),
        pitch,
        math.atan2(matrix[1, 0], matrix[0, 0]),
    )


def _numbers(text: str) -> F64:
    return np.array([float(v) for v in text.split()])


def frame(element: ET.Element | None) -> F64:
    """F64[4, 4] of an element's ``<origin>``; identity without one."""
    origin = None if element is None else element.find("origin")
    matrix = np.eye(4)
    if origin is not None:
        matrix[:3, :3] = rotation(*_numbers(origin.get("rpy", "0 0 0")))
        matrix[:3, 3] = _numbers(origin.get("xyz", "0 0 0"))
    return matrix


def pose_text(matrix: F64) -> str:
    """``x y z roll pitch yaw`` of a frame, as SDF writes poses."""
    values = (*matrix[:3, 3], *roll_pitch_yaw(matrix[:3, :3]))
    return " ".join(_number(v) for v in values)


def _number(value: float) -> str:
    return f"{round(value, 6) + 0.0:.6g}"


def body_frames(urdf: str, joints: Mapping[str, float]) -> dict[str, F64]:
    """Frames F64[4, 4] of all links in the root link's.

    Args:
        joints: positions (rad or m) of moving joints; those not named are at zero.
    """
    robot = ET.fromstring(urdf)
    inner = {_ref(joint, "child"): joint for joint in robot.findall("joint")}
    frames: dict[str, F64] = {}

    def find(link: str) -> F64:
        if link not in frames:
            joint = inner.get(link)
            if joint is None:
                frames[link] = np.eye(4)
            else:
                position = joints.get(joint.get("name", ""), 0.0)
                frames[link] = find(_ref(joint, "parent")) @ frame(joint) @ _move(joint, position)
        return frames[link]

    for link in robot.findall("link"):
        find(link.get("name", ""))
    return frames


def _move(joint: ET.Element, position: float) -> F64:
    matrix = np.eye(4)
    axis = joint.find("axis")
    if axis is None or position == 0.0:
        return matrix
    a = _numbers(axis.get("xyz", "1 0 0"))
    if joint.get("type") == "prismatic":
        matrix[:3, 3] = position * a
        return matrix
    cross = np.array([[0, -a[2], a[1]], [a[2], 0, -a[0]], [-a[1], a[0], 0]])
    matrix[:3, :3] += math.sin(position) * cross + (1 - math.cos(position)) * cross @ cross
    return matrix


# --- URDF to SDF -------------------------------------------------------------------------------


class Body:
    """Links that move as one: parts with their frames, and the mass of all.

    Public: ``name`` of the first link; ``at`` F64[4, 4], its frame with all joints at zero, in the
    frame of the body that carries it; ``joint`` and ``parent``, the moving joint and the body that
    carry it, empty for the root; ``parts``; ``mass`` (kg).
    """

    def __init__(self, name: str, at: F64, joint: str = "", parent: str = "") -> None:
        self.name, self.at, self.joint, self.parent = name, at, joint, parent
        self.parts: list[tuple[F64, ET.Element]] = []
        self.mass = 0.0
        self._moment = np.zeros(3)
        self._inertia = np.zeros((3, 3))  # about the body's origin

    def add(self, at: F64, link: ET.Element) -> None:
        """Add a link that is at ``at`` F64[4, 4] in the body."""
        self.parts.append((at, link))
        inertial = link.find("inertial")
        if inertial is None:
            return
        mass, tensor = inertial.find("mass"), inertial.find("inertia")
        assert mass is not None and tensor is not None
        m = float(mass.get("value", "0"))
        i = {key: float(tensor.get(key, "0")) for key in _TENSOR}
        own = np.array(
            [
                [i["ixx"], i["ixy"], i["ixz"]],
                [i["ixy"], i["iyy"], i["iyz"]],
                [i["ixz"], i["iyz"], i["izz"]],
            ]
        )
        centre = at @ frame(inertial)
        r, c = centre[:3, :3], centre[:3, 3]
        self.mass += m
        self._moment += m * c
        self._inertia += r @ own @ r.T + m * (c @ c * np.eye(3) - np.outer(c, c))

    def inertia(self) -> tuple[F64, F64]:
        """Centre of mass F64[3] (m) and inertia F64[3, 3] (kg m^2) about it."""
        c = self._moment / self.mass
        return c, self._inertia - self.mass * (c @ c * np.eye(3) - np.outer(c, c))

    def inertial(self) -> str:
        """As SDF."""
        c, tensor = self.inertia()
        pairs = zip(_TENSOR, tensor[np.triu_indices(3)], strict=True)
        values = "".join(f"<{name}>{_number(v)}</{name}>" for name, v in pairs)
        return (
            f"<inertial><pose>{' '.join(_number(v) for v in c)} 0 0 0</pose>"
            f"<mass>{_number(self.mass)}</mass><inertia>{values}</inertia></inertial>"
        )


_TENSOR = ("ixx", "ixy", "ixz", "iyy", "iyz", "izz")


def bodies(urdf: str, rigid: Collection[str] = ()) -> list[Body]:
    """The bodies of a robot, the root first: links joined by fixed joints are one.

    Args:
        rigid: names of moving joints to fix at zero.
    """
    robot = ET.fromstring(urdf)
    links = {link.get("name", ""): link for link in robot.findall("link")}
    children: dict[str, list[ET.Element]] = {}
    inner = set()
    for joint in robot.findall("joint"):
        children.setdefault(_ref(joint, "parent"), []).append(joint)
        inner.add(_ref(joint, "child"))
    found = [Body(next(link for link in links if link not in inner), np.eye(4))]
    todo = [(found[0].name, np.eye(4), found[0])]
    while todo:
        link, at, body = todo.pop()
        body.add(at, links[link])
        for joint in children.get(link, []):
            here, child = at @ frame(joint), _ref(joint, "child")
            if joint.get("type") == "fixed" or joint.get("name") in rigid:
                todo.append((child, here, body))
                continue
            found.append(Body(child, here, joint.get("name", ""), body.name))
            todo.append((child, np.eye(4), found[-1]))
    return found


def to_sdf(
    urdf: str,
    name: str,
    *,
    pose: str = "0 0 0 0 0 0",
    static: bool = False,
    collide: bool | str = True,
    visible: bool = True,
    rigid: Collection[str] = (),
    only: str | None = None,
    extra: str = "",
) -> str:
    """A URDF as an SDF ``<model>``; links joined by fixed joints become one.

    Args:
        pose: of the model, ``x y z roll pitch yaw``.
        static: whether physics leaves the model where it is.
        collide: whether to keep collisions; a text keeps those whose names begin so.
        visible: whether to keep visuals.
        rigid: names of moving joints to fix at zero.
        only: name of one body to keep alone, without its joints, in its own frame.
        extra: elements to add to the model.
    """
    robot = ET.fromstring(urdf)
    colors = {m.get("name"): m.find("color") for m in robot.findall("material")}
    joints = {joint.get("name"): joint for joint in robot.findall("joint")}
    parts = bodies(urdf, rigid)
    at: dict[str, F64] = {}  # in the model
    for body in parts:
        at[body.name] = at[body.parent] @ body.at if body.parent else body.at
    out = [f'<model name="{name}"><pose>{pose}</pose>']
    if static:
        out.append("<static>true</static>")
    for body in parts:
        if only in (None, body.name):
            here = np.eye(4) if only is not None else at[body.name]
            out.append(_link(body, here, colors, static, collide, visible))
    if only is None:
        out += [_joint(joints[body.joint], body) for body in parts if body.joint]
    return "".join((*out, extra, "</model>"))


def fixed_model(xml: str, name: str, pose: str) -> str:
    """An SDF ``<model>`` with a name and a pose of its own that stays where it is put.

    Args:
        xml: a URDF, or an SDF with one model.

    Raises:
        InputError: it holds no model.
    """
    root = ET.fromstring(xml)
    if root.tag == "robot":
        try:
            return to_sdf(xml, name, pose=pose, static=True, collide=False)
        except (AssertionError, AttributeError, IndexError, StopIteration, ValueError):
            raise InputError("spawn_entity", "xml", name, "a URDF expected") from None
    model = root.find("model")
    if model is None:
        raise InputError("spawn_entity", "xml", root.tag, "an <sdf> with a <model> expected")
    model.set("name", name)
    for tag in ("pose", "static"):
        for old in model.findall(tag):
            model.remove(old)
    ET.SubElement(model, "pose").text = pose
    ET.SubElement(model, "static").text = "true"
    return ET.tostring(model, encoding="unicode")


def moving_bodies(urdf: str) -> list[str]:
    """Names of the links that move on their own: the root and the children of moving joints."""
    robot = ET.fromstring(urdf)
    children = {_ref(joint, "child"): joint.get("type") for joint in robot.findall("joint")}
    names = (link.get("name", "") for link in robot.findall("link"))
    return [name for name in names if children.get(name) != "fixed"]


def _ref(joint: ET.Element, end: str) -> str:
    element = joint.find(end)
    assert element is not None
    return element.get("link", "")


def _link(
    body: Body,
    at: F64,
    colors: Mapping[str | None, ET.Element | None],
    static: bool,
    collide: bool | str,
    visible: bool,
) -> str:
    out = [f'<link name="{body.name}"><pose>{pose_text(at)}</pose>']
    if body.mass > 0.0 and not static:
        out.append(body.inertial())
    number = 0
    solid = collide if isinstance(collide, str) else ""
    kinds = (*(["collision"] if collide else []), *(["visual"] if visible else []))
    for part, link in body.parts:
        for kind in kinds:
            for element in link.findall(kind):
                geometry = element.find("geometry")
                assert geometry is not None
                number += 1
                given = element.get("name", "")
                if kind == "collision" and not given.startswith(solid):
                    continue
                where = pose_text(part @ frame(element))
                out.append(
                    f'<{kind} name="{kind}_{number}"><pose>{where}</pose>{_geometry(geometry[0])}'
                )
                if kind == "visual":
                    out.append(_material(element, colors))
                elif given.startswith(FRICTIONLESS):
                    out.append(_SLIPPERY)
                out.append(f"</{kind}>")
    out.append("</link>")
    return "".join(out)


_SLIPPERY = "<surface><friction><ode><mu>0</mu><mu2>0</mu2></ode></friction></surface>"


def _geometry(shape: ET.Element) -> str:
    if shape.tag == "box":
        inner = f"<size>{_rounded(shape, 'size')}</size>"
    elif shape.tag == "sphere":
        inner = f"<radius>{_rounded(shape, 'radius')}</radius>"
    else:
        radius, length = _rounded(shape, "radius"), _rounded(shape, "length")
        inner = f"<radius>{radius}</radius><length>{length}</length>"
    return f"<geometry><{shape.tag}>{inner}</{shape.tag}></geometry>"


def _rounded(shape: ET.Element, name: str) -> str:
    return " ".join(_number(float(v)) for v in shape.get(name, "").split())


def _material(visual: ET.Element, colors: Mapping[str | None, ET.Element | None]) -> str:
    material = visual.find("material")
    color = None if material is None else colors.get(material.get("name"))
    return "" if color is None else colored(color.get("rgba", "1 1 1 1"))


def colored(rgba: str) -> str:
    """SDF material of one colour."""
    return f"<material><ambient>{rgba}</ambient><diffuse>{rgba}</diffuse></material>"


def _joint(joint: ET.Element, body: Body) -> str:
    kind, name = joint.get("type"), joint.get("name")
    axis, limit, dynamics = joint.find("axis"), joint.find("limit"), joint.find("dynamics")
    assert axis is not None
    inner = [f"<xyz>{axis.get('xyz')}</xyz>"]
    if limit is not None:
        lower, upper = ("-1e16", "1e16")
        if kind != "continuous":
            lower, upper = limit.get("lower", "0"), limit.get("upper", "0")
        inner.append(
            f"<limit><lower>{lower}</lower><upper>{upper}</upper>"
            f"<effort>{limit.get('effort')}</effort>"
            f"<velocity>{limit.get('velocity')}</velocity></limit>"
        )
    if dynamics is not None:
        inner.append(
            f"<dynamics><damping>{dynamics.get('damping', '0')}</damping>"
            f"<friction>{dynamics.get('friction', '0')}</friction></dynamics>"
        )
    sdf_kind = "prismatic" if kind == "prismatic" else "revolute"
    return (
        f'<joint name="{name}" type="{sdf_kind}"><parent>{body.parent}</parent>'
        f"<child>{body.name}</child><axis>{''.join(inner)}</axis></joint>"
    )


def indented(text: str, depth: int = 4) -> str:
    """The XML with one element a line, down to ``depth`` levels."""
    lines: list[str] = []

    def write(element: ET.Element, level: int) -> None:
        whole = ET.tostring(element, encoding="unicode")
        if level == depth or not len(element):
            lines.append("  " * level + whole)
            return
        lines.append("  " * level + whole[: whole.index(">") + 1])
        for child in element:
            write(child, level + 1)
        lines.append("  " * level + f"</{element.tag}>")

    write(ET.fromstring(text), 0)
    return "\n".join(lines) + "\n"
