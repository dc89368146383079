"""What set-up builds is whole: shared files, manifests, versions and executables."""

import re
from importlib.metadata import entry_points, version
from pathlib import Path

import pytest
from ament_index_python.packages import get_package_prefix, get_package_share_directory
from catkin_pkg.package import parse_package

import robo_stow

ROOT = Path(__file__).resolve().parent.parent
SHARED = [
    path.relative_to(ROOT)
    for folder in ("config", "launch", "urdf", "worlds")
    for path in sorted((ROOT / folder).rglob("*"))
    if path.is_file() and "__pycache__" not in path.parts
]
MANIFESTS = [ROOT / "package.xml", *sorted((ROOT / "interfaces").rglob("package.xml"))]
SCRIPTS = [
    script
    for script in entry_points(group="console_scripts")
    if script.module.startswith(("robo_stow.", "robo_stow_nodes."))
]


@pytest.mark.parametrize("path", SHARED, ids=str)
def test_shared_file_is_installed(path):
    installed = Path(get_package_share_directory("robo_stow")) / path
    assert installed.read_bytes() == (ROOT / path).read_bytes()


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda path: path.parent.name)
def test_manifest_is_valid(manifest):
    warnings = []
    package = parse_package(str(manifest), warnings=warnings)
    assert warnings == []
    assert package.licenses == ["Apache-2.0"]
    if "standins" in manifest.parts:
        assert "stand-in" in package.description
    else:
        assert package.version == robo_stow.__version__


def test_built_version_is_the_source_version():
    assert version("robo_stow") == robo_stow.__version__


def test_changelog_tells_this_version_or_is_ahead_of_it():
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.search(r"^## \[(.+?)\]", changelog, re.MULTILINE)[1]
    assert newest in ("Unreleased", robo_stow.__version__)


def test_every_node_has_its_script():
    nodes = {
        path.stem
        for path in (ROOT / "nodes").glob("*.py")
        if re.search(r"^def main\(", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert nodes
    assert {script.name for script in SCRIPTS} == {"robo-stow", *nodes}


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_script_is_where_ros2_run_looks(script):
    assert callable(script.load())
    assert Path(get_package_prefix("robo_stow"), "lib", "robo_stow", script.name).is_file()
