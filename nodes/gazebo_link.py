"""Node that links a real Gazebo 11 to the building; it owns the building's clock."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from robo_stow_nodes.fleet_simulator import FleetSimulatorNode
from robo_stow_nodes.gazebo_services import Shown
from robo_stow_nodes.shell import run_alone

from robo_stow.floor.urdf import F64, fixed_model, pose_text
from robo_stow.gazebo.plant import GazeboPlant
from robo_stow.gazebo.scene import Scene
from robo_stow.messages import Core
from robo_stow.sim.entities import Entity


class GazeboLinkNode(FleetSimulatorNode):
    """As `FleetSimulatorNode`, with drive units, pods, pallets and arms in a gzserver of its own.

    Publishes, subscribes, parameters: those of `FleetSimulatorNode`. The period must be a whole
    number of 0.05 s.
    """

    KIND = "gazebo_link"

    def build(self) -> Sequence[Core]:
        self._plant = GazeboPlant(self.building, self.seed)
        return (self._plant,)

    def shown(self) -> Shown | None:
        (plant,) = self.cores
        return _Shown(plant.scene) if isinstance(plant, GazeboPlant) else None

    def destroy_node(self) -> None:
        # A plant taken from a warehouse is closed by whoever built that.
        plant = getattr(self, "_plant", None)
        if plant is not None:
            plant.close()
        super().destroy_node()


class _Shown:
    """Additions in Gazebo: bodies that stand where they are put."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene

    def add(self, entity: Entity, xml: str) -> None:
        """Spawn a description, fixed in place."""
        self._scene.spawn(fixed_model(xml, entity.name, pose_text(_frame(entity))))

    def remove(self, name: str) -> None:
        """Delete a model."""
        self._scene.delete(name)

    def put(self, entity: Entity) -> None:
        """Move a model; people at stations are no models."""
        self._scene.place_frame(entity.name, _frame(entity))


def _frame(entity: Entity) -> F64:
    matrix = np.eye(4)
    x, y, z, w = np.array(entity.quaternion) / np.linalg.norm(entity.quaternion)
    matrix[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    matrix[:3, 3] = entity.position
    return matrix


def main(args: Sequence[str] | None = None) -> int:
    """Run the node as a process."""
    return run_alone(GazeboLinkNode, args)


if __name__ == "__main__":
    raise SystemExit(main())
