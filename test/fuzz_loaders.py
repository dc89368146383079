"""Fuzzes the readers of maps, instances and buildings: an `InputError`, or a sound result.

python test/fuzz_loaders.py [--count N] [--seed S]

Anything else that escapes is printed with its seed, and the exit code is 1. Every case is made from
its number alone: `--seed K --count 1` repeats case K.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from robo_stow.errors import InputError
from robo_stow.floor.gridmap import instance_of_files, read_instance
from robo_stow.floor.load import building_from_text, find_building, warnings

MAP = "type octile\nheight 4\nwidth 5\nmap\n.....\n.@E..\nS.T.G\n..O..\n"
AGENTS = "# starts\n3\n0\n11\n4\n"
TASKS = "# tasks\n5\n3\n7,8\n8\n0,4,9\n1\n"
INSTANCE = {
    "mapFile": "m.map",
    "agentFile": "a.agents",
    "taskFile": "t.tasks",
    "teamSize": 2,
    "version": "2024 LoRR",
    "simulationTime": 30,
    "numTasksReveal": 1.5,
    "agentCounter": 3,
    "agentSize": 0.9,
    "delayConfig": {"seed": 3, "minDelay": 1, "maxDelay": 4, "pDelay": 0.25},
}
DRAWN = """\
#C#############
#.<<.<<<<<.<<<#
#vSSvSS^SSvSS^#
#vSSvSS^SSvSS^#
#v<<.<<.<<.<<.#
#vSSvSS^SSvSS^#
#>.>>.>.>.>.>^#
##s^#s^##s^s^##
##P^#T^##B^H^##
"""

ODD: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2**31, 2**63, 10**400, 1e308, -1e-308, 0.5),
    *(float("nan"), float("inf"), "", " ", "x", "1", "-1", "\0", "é", "🤖", "../..", "a" * 5000),
    *([], {}, [[]], [None], {"": None}, [1, 2], {"a": {"b": []}}, [["x"] * 9]),
)
SPICE = (
    *(
        b"\0",
        b"\xff\xfe",
        b"\r",
        b"\r\n",
        b"\n\n",
        b"\t",
        b" ",
        b"-",
        b"+",
        b"1e9",
        b"999999999999",
    ),
    *(b"0x10", b"1_0", b"\xd9\xa3", b"\xc2\xb2", b"#", b",", b",,", b"{", b"}", b"[", b"]", b":"),
    *(b"&a [*a]", b"!!python/object:os.system", b"<<: *a", b"? ", b"---\n", b"...\n", b"%YAML 9"),
    *(b"2001-99-99", b"1:99:99", b"'", b'"', b"\\u0000", b"@", b"type octile", b"NaN", b"Infinity"),
)


def bend(rng: np.random.Generator, text: bytes) -> bytes:
    """Damages bytes: cuts, repeats, swaps, inserts."""
    for _ in range(int(rng.integers(1, 4))):
        at = int(rng.integers(len(text) + 1))
        size = int(rng.choice([1, 1, 2, 8, 60]))
        kind = rng.integers(5)
        if kind == 0:
            text = text[:at] + text[at + size :]
        elif kind == 1:
            text = text[:at] + text[at : at + size] * int(rng.integers(2, 40)) + text[at + size :]
        elif kind == 2:
            text = text[:at] + rng.bytes(size) + text[at + size :]
        elif kind == 3:
            text = text[:at] + SPICE[rng.integers(len(SPICE))] + text[at:]
        else:
            lines = text.split(b"\n")
            i, k = rng.integers(len(lines), size=2)
            lines[i], lines[k] = lines[k], lines[i]
            text = b"\n".join(lines)
    return text


def places(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths of all values in nested dicts and lists."""
    pairs = node.items() if isinstance(node, dict) else enumerate(node)
    found = []
    for key, value in pairs:
        found.append((*path, key))
        if isinstance(value, (dict, list)):
            found += places(value, (*path, key))
    return found


def twist(rng: np.random.Generator, data: Any) -> Any:
    """Replaces, removes or adds a value somewhere in a deep copy of ``data``."""
    data = json.loads(json.dumps(data))
    for _ in range(int(rng.integers(1, 3))):
        paths = places(data)
        if not paths:
            return data
        *way, last = paths[rng.integers(len(paths))]
        node = data
        for key in way:
            node = node[key]
        odd = ODD[rng.integers(len(ODD))]
        kind = rng.integers(4)
        if kind == 0:
            del node[last]
        elif kind == 1 and isinstance(node, dict):
            node[str(odd)[:20]] = node[last]
        elif kind == 2 and isinstance(node[last], (int, float)) and abs(node[last]) < 1e300:
            node[last] = node[last] * float(rng.choice([-1, 0, 0.5, 1.5, 10, 1e4]))
        else:
            node[last] = odd
    return data


def instance_case(rng: np.random.Generator, folder: Path) -> None:
    files = {"m.map": MAP, "a.agents": AGENTS, "t.tasks": TASKS}
    for name, text in files.items():
        (folder / name).write_bytes(text.encode())
    data = INSTANCE | {"version": f"{rng.choice([2023, 2024, 2026])} LoRR"}
    if data["version"] == "2023 LoRR":
        (folder / "t.tasks").write_text("2\n3\n7\n")
    target = rng.choice([*files, "i.json", "values"])
    text = json.dumps(twist(rng, data) if target == "values" else data).encode()
    (folder / "i.json").write_bytes(bend(rng, text) if target == "i.json" else text)
    if target in files:
        (folder / target).write_bytes(bend(rng, (folder / target).read_bytes()))
    if rng.random() < 0.3:
        names = [str(folder / name) for name in files]
        instance = instance_of_files(*names, 10)
    else:
        instance = read_instance(folder / "i.json")
    free = instance.grid.free
    assert free.shape == (instance.grid.width * instance.grid.height,)
    assert free[instance.starts].all() and len(set(instance.starts.tolist())) == len(
        instance.starts
    )
    assert all(free[task].all() for task in instance.tasks)


def building_case(rng: np.random.Generator, folder: Path, text: str, drawn: str) -> None:
    base = text if rng.random() < 0.5 else drawn
    if rng.random() < 0.5:
        damaged = bend(rng, base.encode()).decode("utf-8", "surrogateescape")
        if rng.random() < 0.3:  # by way of the file, which is also refused as text
            path = folder / "b.yaml"
            path.write_bytes(damaged.encode("utf-8", "surrogateescape"))
            damaged = find_building(str(path)).read_text("utf-8", errors="replace")
    else:
        damaged = yaml.safe_dump(twist(rng, yaml.safe_load(base)))
    building = building_from_text(damaged, str(folder / "b.yaml"))
    assert building.units >= 1 and len(building.grid.exits) == building.grid.cells
    warnings(building)


def cases() -> Callable[[int, Path], None]:
    """A function that runs the case of a number."""
    raw = yaml.safe_load(find_building("demo").read_text("utf-8"))
    text = yaml.safe_dump(raw)
    del raw["layout"], raw["zones"]
    raw |= {"map": DRAWN, "units": 2}
    raw["pods"]["count"] = 3
    drawn = yaml.safe_dump(raw)
    for whole in (text, drawn):
        building_from_text(whole, "undamaged")

    def run(number: int, folder: Path) -> None:
        rng = np.random.default_rng(number)
        if rng.random() < 0.7:
            instance_case(rng, folder)
        else:
            building_case(rng, folder, text, drawn)

    return run


def fuzz(first: int, count: int) -> tuple[int, list[int]]:
    """Runs cases ``first`` on; returns how many were refused, and the numbers that crashed."""
    run, refused, crashed = cases(), 0, []
    with tempfile.TemporaryDirectory() as name:
        for number in range(first, first + count):
            began = time.monotonic()
            try:
                run(number, Path(name))
            except InputError:
                refused += 1
            except Exception:
                crashed.append(number)
                print(f"case {number}:\n{traceback.format_exc()}", file=sys.stderr)
            if time.monotonic() - began > 5.0:
                print(f"case {number} took {time.monotonic() - began:.1f} s", file=sys.stderr)
    return refused, crashed


def main() -> int:
    parser = argparse.ArgumentParser(description="Fuzz the readers of maps and buildings.")
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0, help="number of the first case")
    args = parser.parse_args()
    refused, crashed = fuzz(args.seed, args.count)
    print(f"{args.count} cases, {refused} refused, {len(crashed)} crashed {crashed[:10]}")
    return 1 if crashed else 0


if __name__ == "__main__":
    sys.exit(main())
