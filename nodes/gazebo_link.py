"""Node that links a real Gazebo 11 to the building; it owns the building's clock."""

from __future__ import annotations

from collections.abc import Sequence

from robo_stow_nodes.fleet_simulator import FleetSimulatorNode
from robo_stow_nodes.shell import run_alone

from robo_stow.gazebo.plant import GazeboPlant
from robo_stow.messages import Core


class GazeboLinkNode(FleetSimulatorNode):
    """As `FleetSimulatorNode`, with drive units, pods, pallets and arms in a gzserver of its own.

    Publishes, subscribes, parameters: those of `FleetSimulatorNode`. The period must be a whole
    number of 0.05 s.
    """

    KIND = "gazebo_link"

    def build(self) -> Sequence[Core]:
        self._plant = GazeboPlant(self.building, self.seed)
        return (self._plant,)

    def destroy_node(self) -> None:
        # A plant taken from a warehouse is closed by whoever built that.
        plant = getattr(self, "_plant", None)
        if plant is not None:
            plant.close()
        super().destroy_node()


def main(args: Sequence[str] | None = None) -> int:
    """Run the node as a process."""
    return run_alone(GazeboLinkNode, args)


if __name__ == "__main__":
    raise SystemExit(main())
