"""Launch files: what they name exists, and where `launch` is installed they are run."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import types
from collections.abc import Iterator
from importlib import util
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

from robo_stow.errors import InputError
from robo_stow.resources import share_dir

FILES = sorted((share_dir() / "launch").glob("*.launch.py"))
HERE = Path(__file__).resolve().parent


def named(path: Path) -> str:
    return path.name.removesuffix(".launch.py")


# -- without `launch`: descriptions are built of records ------------------------------------------


class Recorded:
    """Whatever a launch file makes of `launch` and `launch_ros`, with its arguments."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.args, self.kwargs = args, kwargs

    def perform(self, context: dict[str, str]) -> str:
        """As `launch.substitutions.LaunchConfiguration`, the only one that the files perform."""
        return context[self.args[0]]

    @property
    def kind(self) -> str:
        return type(self).__name__


def inside(thing: Any) -> Iterator[Recorded]:
    """Every record in ``thing``, outermost first."""
    if isinstance(thing, Recorded):
        yield thing
        thing = (thing.args, thing.kwargs)
    if isinstance(thing, dict):
        thing = (*thing.keys(), *thing.values())
    if isinstance(thing, (list, tuple)) or hasattr(thing, "mapping"):
        for part in thing:
            yield from inside(part)


class Described:
    """A launch file's description, with what its functions return for its arguments."""

    def __init__(self, path: Path, given: dict[str, str] | None = None) -> None:
        self.name = named(path)
        spec = util.spec_from_file_location(f"{named(path)}_launch", path)
        assert spec is not None and spec.loader is not None
        module = util.module_from_spec(spec)
        spec.loader.exec_module(module)
        self.records = list(inside(module.generate_launch_description()))
        declared = [record for record in self.records if record.kind == "DeclareLaunchArgument"]
        self.arguments = {record.args[0]: record.kwargs for record in declared}
        context = {name: values["default_value"] for name, values in self.arguments.items()}
        context |= given or {}
        for function in [r for r in self.records if r.kind == "OpaqueFunction"]:
            self.records += inside(function.kwargs["function"](context))

    def of(self, kind: str) -> list[Recorded]:
        return [record for record in self.records if record.kind == kind]


@pytest.fixture
def stand_ins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """`launch` and `launch_ros` make records."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for name in (
        "launch",
        "launch.actions",
        "launch.conditions",
        "launch.event_handlers",
        "launch.launch_description_sources",
        "launch.substitutions",
        "launch_ros",
        "launch_ros.actions",
        "launch_ros.parameter_descriptions",
        "launch_ros.substitutions",
    ):
        module = types.ModuleType(name)
        module.__getattr__ = lambda kind: type(kind, (Recorded,), {})  # type: ignore[method-assign]
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.delitem(sys.modules, "robo_stow_nodes.launching", raising=False)
    yield
    sys.modules.pop("robo_stow_nodes.launching", None)


@pytest.fixture
def described(request: pytest.FixtureRequest, stand_ins: None) -> Described:
    return Described(request.param)


def with_arguments(name: str, **given: str) -> Described:
    return Described(share_dir() / "launch" / f"{name}.launch.py", given)


every_file = pytest.mark.parametrize("described", FILES, ids=named, indirect=True)


@every_file
def test_every_argument_is_declared_and_described(described: Described) -> None:
    for name, values in described.arguments.items():
        assert values["description"], name
        if values["choices"] is not None:
            assert values["default_value"] in values["choices"]
    used = {record.args[0] for record in described.of("LaunchConfiguration")}
    assert used <= set(described.arguments)


@every_file
def test_every_node_and_its_parameters_exist(described: Described) -> None:
    setup = (share_dir() / "setup.py").read_text() if (share_dir() / "setup.py").exists() else ""
    manifest = ElementTree.parse(share_dir() / "package.xml").getroot()
    packages = {e.text for e in manifest if e.tag in ("depend", "exec_depend")}
    for node in described.of("Node"):
        package, executable = node.kwargs["package"], node.kwargs["executable"]
        if package != "robo_stow":
            assert package in packages
            continue
        assert not setup or f'    "{executable}",\n' in setup
        file = share_dir() / "config" / "nodes" / f"{executable}.yaml"
        known = yaml.safe_load(file.read_text())["/**"]["ros__parameters"]
        for given in node.kwargs["parameters"]:
            if isinstance(given, dict):
                assert set(given) <= set(known), executable


def assert_files_exist(described: Described) -> None:
    for path in described.of("PathJoinSubstitution"):
        (package, *parts) = path.args[0]
        assert package.kind == "FindPackageShare"
        if package.args != ("robo_stow",):
            manifest = (share_dir() / "package.xml").read_text()
            assert f"<exec_depend>{package.args[0]}</exec_depend>" in manifest
            continue
        # Jazzy's PathJoinSubstitution takes no lists as parts.
        assert all(isinstance(part, str) for part in parts)
        assert share_dir().joinpath(*parts).is_file(), parts


@every_file
def test_every_file_exists(described: Described) -> None:
    assert_files_exist(described)


@pytest.mark.usefixtures("stand_ins")
def test_rviz_has_a_file_for_every_view() -> None:
    views = with_arguments("rviz").arguments["view"]["choices"]
    assert len(views) == 2
    for view in views:
        assert_files_exist(with_arguments("rviz", view=view))


@pytest.mark.usefixtures("stand_ins")
@pytest.mark.parametrize(
    ("namespace", "prefix"), [("", ""), ("site_a", "/site_a"), ("/site_a/", "/site_a")]
)
def test_names_of_topics_are_below_the_namespace(namespace: str, prefix: str) -> None:
    record = with_arguments("record", namespace=namespace, regex="fleet|orders")
    (recorder,) = record.of("ExecuteProcess")
    wanted = re.compile(recorder.kwargs["cmd"][-1])
    assert wanted.search(f"{prefix}/fleet/state")
    assert wanted.search(f"{prefix}/orders/shipped")
    assert not wanted.search(f"{prefix}/alarms")
    assert not wanted.search(f"/other{prefix}/orders/shipped")
    for name in ("rviz", "drive_unit", "robo_stow"):
        shown = with_arguments(name, namespace=namespace).of("Node")[-1]
        remapped = dict(shown.kwargs["remappings"])
        assert remapped["/tf"] == f"{prefix}/tf"
        assert remapped["/tf_static"] == f"{prefix}/tf_static"


@pytest.mark.usefixtures("stand_ins")
def test_descriptions_hear_the_joints_that_the_nodes_hear() -> None:
    from robo_stow_nodes import topics

    for name, given, topic in (
        ("drive_unit", {"unit": "3"}, topics.topic(topics.UNIT_JOINTS, unit="unit_0003")),
        ("drive_unit", {"joint_states": "/joints"}, "/joints"),
        ("robo_stow", {}, topics.topic(topics.JOINT_STATES, lifter="lifter_1")),
    ):
        shown = with_arguments(name, **given).of("Node")[-1]
        assert shown.kwargs["package"] == "robot_state_publisher"
        assert dict(shown.kwargs["remappings"])["joint_states"] == topic


@pytest.mark.usefixtures("stand_ins")
@pytest.mark.parametrize(
    ("name", "argument", "value"),
    [
        ("record", "folder", "/no/such/folder"),
        ("drive_unit", "unit", "three"),
        ("drive_unit", "unit", "24"),
        ("robo_stow", "units", "many"),
        ("robo_stow", "lifter", "lifter_9"),
        ("gazebo", "seed", "x"),
    ],
)
def test_arguments_that_cannot_be_used_are_named(name: str, argument: str, value: str) -> None:
    with pytest.raises(InputError, match=f"{argument} = .?{value}"):
        with_arguments(name, **{argument: value})


@every_file
def test_included_files_take_what_they_are_given(described: Described) -> None:
    for include in described.of("IncludeLaunchDescription"):
        package, *_, file = next(inside(include.args[0].args)).args[0]
        if package.args != ("robo_stow",):
            continue
        declared = Described(share_dir() / "launch" / file).arguments
        assert set(dict(include.kwargs["launch_arguments"])) <= set(declared), file


@every_file
def test_every_command_is_in_a_package_of_the_manifest(described: Described) -> None:
    manifest = (share_dir() / "package.xml").read_text()
    for process in described.of("ExecuteProcess"):
        tool, verb = process.kwargs["cmd"][:2]
        assert f"<exec_depend>{tool}{verb}</exec_depend>" in manifest


@pytest.mark.parametrize("described", [FILES[-1]], ids=named, indirect=True)
def test_a_site_starts_every_room(described: Described) -> None:
    assert named(FILES[-1]) == "warehouse"
    started = {node.kwargs["executable"] for node in described.of("Node")}
    kinds = {path.stem for path in (share_dir() / "config" / "nodes").glob("*.yaml")}
    assert started == kinds - {
        "drive_unit",
        "lifter_drives",
        "harmonic_link",
    }  # of one robot; Harmonic


@pytest.mark.parametrize("described", FILES, ids=named, indirect=True)
def test_services_of_systemd_give_arguments_that_exist(described: Described) -> None:
    for file in (share_dir() / "config" / "systemd").glob("*.service"):
        text = file.read_text()
        found = re.search(r"ros2 launch robo_stow (\S+)\.launch\.py (.*)'$", text, re.MULTILINE)
        assert found, file
        examples = re.findall(r"^# ROBO_STOW_ARGS=(.*)$", text, re.MULTILINE)
        if described.name == found[1]:
            given = re.findall(r"(\w+):=", " ".join([found[2], *examples]))
            assert given
            assert set(given) <= set(described.arguments)


# -- with `launch` --------------------------------------------------------------------------------

SCRIPT = """
import json, sys
from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription, RegisterEventHandler
from launch.event_handlers import OnProcessExit
from launch.launch_description_sources import PythonLaunchDescriptionSource
path, *arguments = sys.argv[1:]
ended = {}
service = LaunchService()
service.include_launch_description(LaunchDescription([
    RegisterEventHandler(OnProcessExit(
        on_exit=lambda event, _: ended.update({event.process_name: event.returncode}))),
    IncludeLaunchDescription(PythonLaunchDescriptionSource(path),
        launch_arguments=[tuple(a.split(":=", 1)) for a in arguments]),
]))
code = service.run()
print("ended", json.dumps([code, ended]))
"""
"""Runs a launch file until SIGINT, then says how its processes ended."""


@pytest.mark.parametrize(
    ("file", "nodes", "arguments"),
    [
        ("drive_unit", 1, ["unit:=3", "description:=false", "backend:=cmd_vel", "odom:=/odom"]),
        ("robo_stow", 1, ["description:=false"]),
        ("warehouse", 7, ["sim:=none", "log_level:=warn"]),
    ],
)
def test_a_launch_file_starts_and_stops(
    file: str, nodes: int, arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("launch_ros", reason="needs ROS 2's launch_ros: not run")
    import rclpy
    from robo_stow_interfaces.msg import Heartbeat

    monkeypatch.setenv("ROS_DOMAIN_ID", str(1 + os.getpid() % 100))
    path = share_dir() / "launch" / f"{file}.launch.py"
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, path, "namespace:=site_a", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    heard: set[str] = set()
    rclpy.init(args=[])
    listener = rclpy.create_node("listener", namespace="site_a")
    listener.create_subscription(Heartbeat, "heartbeat", lambda beat: heard.add(beat.node), 1000)
    end = time.monotonic() + 90.0
    while len(heard) < nodes and time.monotonic() < end and process.poll() is None:
        rclpy.spin_once(listener, timeout_sec=0.2)
    listener.destroy_node()
    rclpy.shutdown()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C does
    try:
        said, _ = process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    assert len(heard) == nodes, said
    code, ended = yaml.safe_load(re.search(r"^ended (.*)$", said, re.MULTILINE)[1])
    assert code == 0, said
    assert list(ended.values()) == [0] * nodes, said
    assert "Traceback" not in said


def test_the_demo_comes_up_and_ships() -> None:
    pytest.importorskip("launch_testing", reason="needs ROS 2's launch_testing: not run")
    result = subprocess.run(
        [
            sys.executable,
            "-m",
            "launch_testing.launch_test",
            HERE / "launch" / "demo.launch.test.py",
        ],
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert result.returncode == 0, result.stdout + result.stderr
