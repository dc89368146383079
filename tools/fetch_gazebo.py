"""Fetches Gazebo 11 as Debian packages into .gazebo/, without root: `make gazebo` does it first.

Debian 11 (bullseye) is the last that carries gzserver 11. Its packages are unpacked beside the
machine's own and run with their own loader and libraries; nothing of the system is changed. The
mirror is the one the machine's apt uses, or ROBO_STOW_DEBIAN_MIRROR. A second run takes a moment.
Standard library only.

Exit codes: 0 done, 2 not possible here (one line on stderr says why).
"""

from __future__ import annotations

import argparse
import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / ".gazebo"
SUITE = "bullseye"
PACKAGES = ("gazebo", "gazebo-plugin-base")
STAMP = "bullseye gazebo 11, 1\n"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
TIMEOUT = 900.0
"""s that one step of apt may take."""


class Impossible(Exception):
    """Gazebo cannot be had on this machine."""


def architecture() -> str:
    """Debian's name of this machine's architecture."""
    try:
        found = subprocess.run(
            ["dpkg", "--print-architecture"], capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        raise Impossible("dpkg is not there; Debian or Ubuntu is needed") from None
    if found != "amd64":
        raise Impossible(f"Gazebo 11 is packaged for amd64, this machine is {found}")
    if not shutil.which("apt-get"):
        raise Impossible("apt-get is not there; Debian or Ubuntu is needed")
    return found


def mirror() -> str:
    """Address of the Debian archive: as the machine's apt has it, unless one is named."""
    named = os.environ.get("ROBO_STOW_DEBIAN_MIRROR")
    if named:
        return named
    listed = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"],
        capture_output=True,
        text=True,
    ).stdout.split()
    for address in listed:
        if address.rstrip("/").endswith("/debian"):
            return address
    raise Impossible("apt has no Debian archive; name one in ROBO_STOW_DEBIAN_MIRROR")


def apt(folder: Path, lock: int, *command: str) -> None:
    """Runs apt-get on a private set of lists and an empty system.

    It holds ``lock`` as long as it lives: when we are killed it may go on for a while, and the next
    fetch has to wait for that.
    """
    state = folder / "apt"
    options = {
        "Dir::Etc::sourcelist": state / "sources.list",
        "Dir::Etc::sourceparts": os.devnull,
        "Dir::State": state / "state",
        "Dir::State::lists": state / "lists",
        "Dir::State::status": state / "status",
        "Dir::Cache": state / "cache",
        "APT::Install-Recommends": "false",
        "APT::Architecture": "amd64",
        "APT::Sandbox::User": "",
        "Acquire::Check-Valid-Until": "false",
        "Acquire::Languages": "none",
        "Acquire::Retries": "2",
        "Debug::NoLocking": "1",
    }
    given = [part for name, value in options.items() for part in ("-o", f"{name}={value}")]
    try:
        result = subprocess.run(
            ["apt-get", "-q", "-y", *given, *command],
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            pass_fds=(lock,),
        )
    except subprocess.TimeoutExpired:
        raise Impossible(f"apt-get {command[0]} took more than {TIMEOUT:.0f} s") from None
    if result.returncode:
        reasons = [
            line for line in result.stderr.splitlines() if line.startswith("E:")
        ] or result.stderr.splitlines()[-1:]
        raise Impossible("apt-get: " + " ".join(reasons))


def fetch(folder: Path, lock: int, quiet: bool = False) -> None:
    """Leaves an unpacked Gazebo in ``folder``/root.

    Args:
        lock: descriptor of a locked file.

    Raises:
        Impossible: with the reason.
    """
    stamp = folder / "complete"
    if stamp.is_file() and stamp.read_text() == STAMP:
        return
    architecture()
    address = mirror()
    if not quiet:
        print("gazebo: fetching Gazebo 11, 240 MB ...", flush=True)
    root, state = folder / "root", folder / "apt"
    for old in (root, state):
        shutil.rmtree(old, ignore_errors=True)
    for part in ("state", "lists/partial", "cache/archives/partial"):
        (state / part).mkdir(parents=True)
    (state / "status").touch()
    signed = f"[signed-by={KEYRING}] " if KEYRING.is_file() else ""
    (state / "sources.list").write_text(f"deb {signed}{address} {SUITE} main\n")
    apt(folder, lock, "update")
    apt(folder, lock, "--download-only", "install", *PACKAGES)
    root.mkdir()
    for archive in sorted((state / "cache" / "archives").glob("*.deb")):
        subprocess.run(["dpkg-deb", "-x", archive, root], check=True, pass_fds=(lock,))
    if not list(root.glob("usr/bin/gzserver-11*")):
        raise Impossible(f"the packages from {address} hold no gzserver 11")
    shutil.rmtree(state)
    stamp.write_text(STAMP)
    if not quiet:
        print(f"gazebo: in {folder}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description="Fetch Gazebo 11 into a folder, without root.")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="default: .gazebo/ here")
    parser.add_argument("--quiet", action="store_true", help="say nothing when all is well")
    args = parser.parse_args()
    try:
        args.folder.mkdir(parents=True, exist_ok=True)
        with (args.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            fetch(args.folder, lock.fileno(), args.quiet)
    except (Impossible, OSError, subprocess.CalledProcessError) as error:
        print(f"gazebo: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
