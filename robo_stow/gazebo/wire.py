"""Gazebo 11's messages, as far as we use them, described by hand for the protobuf package.

Names, numbers and types of the fields are those of ``gazebo/msgs/*.proto`` (libgazebo-dev 11);
fields left out here are skipped in what comes in.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_FIELDS = {
    "Time": "!sec:int32=1 !nsec:int32=2",
    "Vector3d": "!x:double=1 !y:double=2 !z:double=3",
    "Quaternion": "!x:double=2 !y:double=3 !z:double=4 !w:double=5",
    "Pose": "name:string=1 id:uint32=2 !position:Vector3d=3 !orientation:Quaternion=4",
    "PosesStamped": "!time:Time=1 *pose:Pose=2",
    "Stamped": "!time:Time=1",  # what begins like PosesStamped
    "Packet": "!stamp:Time=1 !type:string=2 !serialized_data:bytes=3",
    "Publish": "!topic:string=1 !msg_type:string=2 !host:string=3 !port:uint32=4",
    "Publishers": "*publisher:Publish=1",
    "Subscribe": (
        "!topic:string=1 !host:string=2 !port:uint32=3 !msg_type:string=4 latching:bool=5"
    ),
    "GzString": "!data:string=1",
    "WorldStatistics": (
        "!sim_time:Time=2 !pause_time:Time=3 !real_time:Time=4 !paused:bool=5 "
        "!iterations:uint64=6 model_count:int32=7"
    ),
    "WorldControl": "pause:bool=1 step:bool=2 multi_step:uint32=3 seed:uint32=5",
    "Factory": "sdf:string=1 pose:Pose=3",
    "Request": "!id:int32=1 !request:string=2 data:string=3",
    "Response": (
        "!id:int32=1 !request:string=2 !response:string=3 type:string=4 serialized_data:bytes=5"
    ),
    "Inertial": (
        "mass:double=1 pose:Pose=2 ixx:double=3 ixy:double=4 ixz:double=5 iyy:double=6 "
        "iyz:double=7 izz:double=8"
    ),
    "Link": "id:uint32=1 !name:string=2 inertial:Inertial=8 pose:Pose=9",
    "Model": "!name:string=1 id:uint32=2 pose:Pose=4 *link:Link=6",
}
"""Messages by name; a field is [! required | * repeated] name : type = number."""

_Field = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    "double": _Field.TYPE_DOUBLE,
    "int32": _Field.TYPE_INT32,
    "uint32": _Field.TYPE_UINT32,
    "uint64": _Field.TYPE_UINT64,
    "bool": _Field.TYPE_BOOL,
    "string": _Field.TYPE_STRING,
    "bytes": _Field.TYPE_BYTES,
}
_LABELS = {"!": _Field.LABEL_REQUIRED, "*": _Field.LABEL_REPEATED}


def _classes() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(
        name="robo_stow/gazebo.proto", package="gazebo.msgs", syntax="proto2"
    )
    for name, fields in _FIELDS.items():
        message = file.message_type.add(name=name)
        for text in fields.split():
            left, kind = text.split(":")
            kind, number = kind.split("=")
            field = message.field.add(name=left.lstrip("!*"), number=int(number))
            field.label = _LABELS.get(left[0], _Field.LABEL_OPTIONAL)
            if kind in _SCALARS:
                field.type = _SCALARS[kind]
            else:
                field.type, field.type_name = _Field.TYPE_MESSAGE, f".gazebo.msgs.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"gazebo.msgs.{name}"))
        for name in _FIELDS
    }


_CLASSES = _classes()


def message(kind: str, /, **fields: Any) -> Any:
    """A new message of Gazebo's type ``gazebo.msgs.KIND``."""
    return _CLASSES[kind](**fields)


def parse(name: str, data: bytes) -> Any:
    """A message of that type from its bytes.

    Raises:
        google.protobuf.message.DecodeError: the bytes are none.
    """
    return _CLASSES[name].FromString(data)
