"""Draws a Gazebo world to a picture, without Gazebo: MuJoCo renders its boxes, cylinders, spheres.

    .venv/bin/robo-stow-env python tools/picture.py worlds/demo_classic.sdf docs/images/world.png

Needs MuJoCo and EGL (Debian: libegl1, libgl1-mesa-dri).
"""

from __future__ import annotations

import argparse
import os
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from robo_stow.floor.urdf import F64, rotation

os.environ.setdefault("MUJOCO_GL", "egl")
SIZE = (1600, 1000)
LOOK = {"lookat": (15.5, 25.5, 1.5), "distance": 35.0, "azimuth": -122.0, "elevation": -24.0}


def pose(element: ET.Element) -> F64:
    """F64[4, 4] of an element's ``<pose>``."""
    matrix = np.eye(4)
    values = [float(v) for v in (element.findtext("pose") or "0 0 0 0 0 0").split()]
    matrix[:3, :3], matrix[:3, 3] = rotation(*values[3:]), values[:3]
    return matrix


def shapes(world: ET.Element) -> Iterator[tuple[F64, ET.Element, str]]:
    """Frame in the world, geometry and colour of everything visible."""
    for model in world.findall("model"):
        at = pose(model)
        for link in model.findall("link"):
            here = at @ pose(link)
            for visual in link.findall("visual"):
                geometry = visual.find("geometry")
                assert geometry is not None
                color = visual.findtext("material/diffuse") or "0.6 0.6 0.6 1"
                yield here @ pose(visual), geometry[0], color


def scene(world: ET.Element) -> str:
    """The world as MJCF."""
    geoms = []
    for at, shape, color in shapes(world):
        kind = shape.tag
        if kind == "box":
            size = " ".join(f"{float(v) / 2:g}" for v in shape.findtext("size", "").split())
        elif kind == "cylinder":
            size = f"{shape.findtext('radius')} {float(shape.findtext('length', '0')) / 2:g}"
        else:
            size = shape.findtext("radius", "0")
        x, y = at[:3, 0], at[:3, 1]
        axes = " ".join(f"{v:.6g}" for v in (*x, *y))
        place = " ".join(f"{v:.6g}" for v in at[:3, 3])
        geoms.append(
            f'<geom type="{kind}" size="{size}" pos="{place}" xyaxes="{axes}" rgba="{color}" '
            'contype="0" conaffinity="0"/>'
        )
    return (
        f'<mujoco><visual><global offwidth="{SIZE[0]}" offheight="{SIZE[1]}" fovy="42"/>'
        '<headlight ambient="0.45 0.45 0.45" diffuse="0.35 0.35 0.35" specular="0 0 0"/>'
        '<quality shadowsize="8192"/></visual>'
        '<asset><texture type="skybox" builtin="gradient" rgb1="0.86 0.91 0.96" '
        'rgb2="0.70 0.78 0.88" width="64" height="64"/></asset><worldbody>'
        '<light pos="8 8 40" dir="0.25 0.3 -1" directional="true" diffuse="0.5 0.5 0.5" '
        'castshadow="true"/>' + "".join(geoms) + "</worldbody></mujoco>"
    )


def main() -> None:
    import matplotlib.image
    import mujoco

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("world", type=Path)
    parser.add_argument("picture", type=Path)
    args = parser.parse_args()
    world = ET.parse(args.world).getroot().find("world")
    assert world is not None, f"{args.world} holds no world"
    model = mujoco.MjModel.from_xml_string(scene(world))
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    camera = mujoco.MjvCamera()
    camera.lookat[:] = LOOK["lookat"]
    camera.distance, camera.azimuth = LOOK["distance"], LOOK["azimuth"]
    camera.elevation = LOOK["elevation"]
    renderer = mujoco.Renderer(model, SIZE[1], SIZE[0], max_geom=model.ngeom + 100)
    renderer.update_scene(data, camera)
    matplotlib.image.imsave(args.picture, renderer.render())


if __name__ == "__main__":
    main()
