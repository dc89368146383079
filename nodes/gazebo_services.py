"""Gazebo's ROS interface (gazebo_msgs), served by whoever simulates the building."""

from __future__ import annotations

from typing import Any, Protocol

from gazebo_msgs.msg import EntityState, ModelStates
from gazebo_msgs.srv import DeleteEntity, GetEntityState, GetModelList, SetEntityState, SpawnEntity
from geometry_msgs.msg import Point, Pose, Quaternion, Twist, Vector3
from rclpy.node import Node
from robo_stow_nodes import qos, topics

from robo_stow.errors import InputError
from robo_stow.sim.entities import Entities, Entity

FRAMES = ("", "world", "map")
"""Reference frames that are understood: all of them the building's."""


class Shown(Protocol):
    """A world in which what is added and moved is to be seen."""

    def add(self, entity: Entity, xml: str) -> None:
        """Something was added."""
        ...

    def remove(self, name: str) -> None:
        """It was removed."""
        ...

    def put(self, entity: Entity) -> None:
        """It was put elsewhere."""
        ...


class GazeboServices:
    """Serves gazebo_msgs for a node, out of `Entities`.

    Publishes:
        /gazebo/model_states (gazebo_msgs/ModelStates): while somebody listens.

    Serves:
        /spawn_entity, /delete_entity, /get_model_list
        /gazebo/get_entity_state, /gazebo/set_entity_state

    Args:
        node: of the simulator.
        entities: what it knows.
        shown: where else additions go; None for nowhere.
    """

    def __init__(self, node: Node, entities: Entities, shown: Shown | None = None) -> None:
        self.entities = entities
        self._node, self._shown = node, shown
        self._states = node.create_publisher(ModelStates, topics.MODEL_STATES, qos.STATE)
        for kind, name, serve in (
            (SpawnEntity, topics.SPAWN_ENTITY, self._spawn),
            (DeleteEntity, topics.DELETE_ENTITY, self._delete),
            (GetModelList, topics.GET_MODEL_LIST, self._list),
            (GetEntityState, topics.GET_ENTITY_STATE, self._get),
            (SetEntityState, topics.SET_ENTITY_STATE, self._set),
        ):
            node.create_service(kind, name, serve)

    def publish(self) -> None:
        """Tell where everything is, if anybody wants to know."""
        if self._states.get_subscription_count() == 0:
            return
        message = ModelStates()
        for entity in self.entities.all():
            message.name.append(entity.name)
            message.pose.append(_pose(entity))
            message.twist.append(_twist(entity))
        self._states.publish(message)

    def _spawn(self, request: Any, response: Any) -> Any:
        def add() -> str:
            entity = _entity(request.name, request.initial_pose, Twist(), request.reference_frame)
            self.entities.add(entity, request.xml)
            try:
                if self._shown is not None:
                    self._shown.add(entity, request.xml)
            except InputError:
                self.entities.remove(entity.name)
                raise
            return f"{request.name} is there"

        response.success, response.status_message = self._try(add)
        return response

    def _delete(self, request: Any, response: Any) -> Any:
        def remove() -> str:
            self.entities.remove(request.name)
            if self._shown is not None:
                self._shown.remove(request.name)
            return f"{request.name} is removed"

        response.success, response.status_message = self._try(remove)
        return response

    def _set(self, request: Any, response: Any) -> Any:
        state = request.state

        def put() -> str:
            entity = _entity(state.name, state.pose, state.twist, state.reference_frame)
            self.entities.put(entity)
            if self._shown is not None:
                self._shown.put(entity)
            return ""

        response.success, _ = self._try(put)
        return response

    def _try(self, change: Any) -> tuple[bool, str]:
        try:
            return True, change()
        except InputError as error:
            self._node.get_logger().warning(f"refused: {error}")
            return False, str(error)

    def _get(self, request: Any, response: Any) -> Any:
        entity = self.entities.get(request.name)
        response.header.stamp = self._node.get_clock().now().to_msg()
        response.header.frame_id = "world"
        response.success = entity is not None and request.reference_frame in FRAMES
        if entity is not None and response.success:
            response.state = EntityState(
                name=entity.name,
                pose=_pose(entity),
                twist=_twist(entity),
                reference_frame="world",
            )
        return response

    def _list(self, _: Any, response: Any) -> Any:
        response.header.stamp = self._node.get_clock().now().to_msg()
        response.model_names = [entity.name for entity in self.entities.all()]
        response.success = True
        return response


def _pose(entity: Entity) -> Pose:
    (x, y, z), (qx, qy, qz, qw) = entity.position, entity.quaternion
    return Pose(position=Point(x=x, y=y, z=z), orientation=Quaternion(x=qx, y=qy, z=qz, w=qw))


def _twist(entity: Entity) -> Twist:
    (vx, vy, vz), (wx, wy, wz) = entity.linear, entity.angular
    return Twist(linear=Vector3(x=vx, y=vy, z=vz), angular=Vector3(x=wx, y=wy, z=wz))


def _entity(name: str, pose: Pose, twist: Twist, frame: str) -> Entity:
    if frame not in FRAMES:
        raise InputError("gazebo_msgs", "reference_frame", frame, "world expected")
    p, q, v, w = pose.position, pose.orientation, twist.linear, twist.angular
    return Entity(name, (p.x, p.y, p.z), (q.x, q.y, q.z, q.w), (v.x, v.y, v.z), (w.x, w.y, w.z))
