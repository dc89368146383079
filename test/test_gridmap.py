"""Benchmark files: read right, and every mistake named with file, line and value."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from robo_stow.errors import InputError
from robo_stow.floor.gridmap import read_agents, read_instance, read_map, read_tasks

MAP = "type octile\nheight 3\nwidth 4\nmap\n....\n.@E.\nS.T.\n"


def write_instance(folder: Path, **changes: object) -> Path:
    (folder / "m.map").write_text(MAP)
    (folder / "a.agents").write_text("# starts\n2\n0\n11\n")
    (folder / "t.tasks").write_text("# tasks\n4\n3\n6\n8\n0\n")
    data = {
        "mapFile": "m.map",
        "agentFile": "a.agents",
        "taskFile": "t.tasks",
        "teamSize": 2,
        "version": "2023 LoRR",
        "simulationTime": 30,
    }
    data.update(changes)
    path = folder / "i.json"
    path.write_text(json.dumps({k: v for k, v in data.items() if v is not None}))
    return path


def test_an_instance_is_read(tmp_path: Path) -> None:
    instance = read_instance(write_instance(tmp_path))
    assert instance.form == 2023 and instance.steps == 30 and instance.name == "i"
    assert instance.starts.tolist() == [0, 11]
    assert instance.tasks == [[3], [6], [8], [0]]
    grid = instance.grid
    assert (grid.width, grid.height) == (4, 3)
    assert np.flatnonzero(~grid.free).tolist() == [5, 10]
    assert grid.exits[5] == 0 and grid.exits[6] == 15


def test_delays_of_the_2026_form_are_read(tmp_path: Path) -> None:
    delays = {"seed": 3, "minDelay": 1, "maxDelay": 4, "pDelay": 0.25}
    path = write_instance(
        tmp_path, version="2026 LoRR", agentCounter=3, delayConfig=delays, numTasksReveal=1.5
    )
    instance = read_instance(path)
    assert instance.delays is not None
    assert instance.delays.ticks_per_move == 3 and instance.delays.probability == 0.25


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"version": "2019"}, "version"),
        ({"teamSize": 3}, "teamSize"),
        ({"teamSize": "2"}, "teamSize"),
        ({"teamSize": True}, "teamSize"),
        ({"mapFile": None}, "mapFile"),
        ({"mapFile": 7}, "mapFile"),
        ({"simulationTime": 0}, "simulationTime"),
        ({"simulationTime": 1.5}, "simulationTime"),
        ({"numTasksReveal": 0}, "numTasksReveal"),
        ({"taskAssignmentStrategy": "greedy"}, "taskAssignmentStrategy"),
        ({"version": "2026 LoRR"}, "delayConfig"),
    ],
)
def test_a_wrong_field_is_named(tmp_path: Path, changes: dict, field: str) -> None:
    with pytest.raises(InputError) as caught:
        read_instance(write_instance(tmp_path, **changes))
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("type octile\nheight x\nwidth 4\nmap\n", 2),
        ("type octile\nheight 3\nwidth 4\nmap\n....\n", 2),
        ("type octile\nheight 1\nwidth 4\nmap\n.....\n", 5),
        ("type octile\nheight 1\nwidth 4\nmap\n..?.\n", 5),
        ("kind octile\nheight 1\nwidth 4\nmap\n....\n", 1),
        ("type octile\nheight 99999\nwidth 99999\nmap\n", 2),
        ("", 1),
    ],
)
def test_a_wrong_map_line_is_named(tmp_path: Path, text: str, line: int) -> None:
    path = tmp_path / "m.map"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        read_map(path)
    assert caught.value.field == f"line {line}"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("#\n2\n0\n0\n", 4),
        ("1\n5\n", 2),
        ("1\n12\n", 2),
        ("1\n-1\n", 2),
        ("3\n1\n2\n", 1),
        ("x\n", 1),
        ("", 1),
    ],
)
def test_a_wrong_agent_line_is_named(tmp_path: Path, text: str, line: int) -> None:
    (tmp_path / "m.map").write_text(MAP)
    path = tmp_path / "a.agents"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        read_agents(path, read_map(tmp_path / "m.map"))
    assert caught.value.field == f"line {line}"


def test_a_missing_file_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        read_map(tmp_path / "none.map")


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.sampled_from(["m.map", "a.agents", "t.tasks", "i.json"]),
    st.integers(0, 200),
    st.integers(0, 20),
    st.binary(max_size=8),
)
def test_damaged_files_are_refused_or_read(
    tmp_path: Path, name: str, at: int, cut: int, insert: bytes
) -> None:
    path = write_instance(tmp_path)
    data = (tmp_path / name).read_bytes()
    at %= len(data) + 1
    (tmp_path / name).write_bytes(data[:at] + insert + data[at + cut :])
    try:
        instance = read_instance(path)
    except InputError:
        return
    grid = instance.grid
    assert grid.free.shape == (grid.width * grid.height,)
    assert grid.free[instance.starts].all()
    assert all(grid.free[task].all() for task in instance.tasks)


def test_task_chains_are_read(tmp_path: Path) -> None:
    (tmp_path / "m.map").write_text(MAP)
    (tmp_path / "t.tasks").write_text("2\n0,3,6\n8\n")
    assert read_tasks(tmp_path / "t.tasks", read_map(tmp_path / "m.map")) == [[0, 3, 6], [8]]
