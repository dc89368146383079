"""The ament_python package robo_stow: library, nodes, C core and shared files."""

import re
from pathlib import Path

from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext

# colcon's symlink install runs a link to this file from another folder: paths start here.
ROOT = Path(__file__).resolve().parent

NODES = [
    "drive_unit",
    "fleet_simulator",
    "fulfilment",
    "gazebo_link",
    "harmonic_link",
    "inventory",
    "lifter_drives",
    "monitor",
    "pick_station",
    "robo_stow_lifter",
    "stow_station",
    "traffic_manager",
]


class BuildSharedLibrary(build_ext):
    """The C core is loaded with ctypes: a plain shared library without PyInit or libpython."""

    def get_export_symbols(self, ext: Extension) -> list[str]:
        return []


def version() -> str:
    text = (ROOT / "robo_stow" / "__init__.py").read_text(encoding="utf-8")
    return re.search(r'^__version__ = "(.+)"$', text, re.MULTILINE)[1]


def c_core() -> Extension:
    return Extension(
        "robo_stow._core",
        sources=sorted(str(path) for path in (ROOT / "src").rglob("*.c")),
        depends=sorted(str(path) for path in (ROOT / "src").rglob("*.h")),
        include_dirs=[str(ROOT / "src")],
        extra_compile_args=["-std=c11", "-O3", "-fPIC", "-pthread", "-Wall", "-Wextra"],
        extra_link_args=["-pthread"],
        libraries=["m"],
    )


def shared_files() -> list[tuple[str, list[str]]]:
    share = "share/robo_stow"
    files = {
        "share/ament_index/resource_index/packages": ["resource/robo_stow"],
        share: ["package.xml"],
    }
    for folder in ("config", "launch", "urdf", "worlds"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                source = path.relative_to(ROOT)
                files.setdefault(f"{share}/{source.parent}", []).append(str(source))
    return list(files.items())


setup(
    name="robo_stow",
    version=version(),
    description="A robotic warehouse on ROS 2: drive units, stations and Robo-Stow lifters.",
    license="Apache-2.0",
    maintainer="Robo-Stow maintainers",
    maintainer_email="robo-stow@example.org",
    python_requires=">=3.10",
    packages=[*find_packages(str(ROOT), include=["robo_stow", "robo_stow.*"]), "robo_stow_nodes"],
    package_dir={"robo_stow_nodes": "nodes"},
    package_data={"robo_stow": ["py.typed", "web/page/*"]},
    ext_modules=[c_core()],
    cmdclass={"build_ext": BuildSharedLibrary},
    data_files=shared_files(),
    install_requires=["setuptools"],
    zip_safe=False,
    entry_points={
        "console_scripts": [
            "robo-stow = robo_stow.cli.main:main",
            *(f"{node} = robo_stow_nodes.{node}:main" for node in NODES),
        ],
    },
)
