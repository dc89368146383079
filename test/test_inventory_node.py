"""The inventory node over real DDS: answers that get lost, kill -9, values that cannot be used."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from robo_stow.inventory import queries
from robo_stow.inventory.audit import audit
from robo_stow.inventory.ledger import Ledger
from robo_stow.inventory.private_server import PrivateServer, find_programs

pytest.importorskip("rclpy", reason="needs ROS 2")
pytest.importorskip("robo_stow_interfaces", reason="needs the built workspace")

import rclpy
from rclpy.signals import SignalHandlerOptions
from robo_stow_interfaces import srv
from robo_stow_nodes import topics
from robo_stow_nodes.conversions import SERVICES
from robo_stow_nodes.shell import EXECUTORS

NAMES = {service: topics.SERVICES[record] for record, service in SERVICES.items()}


class Site:
    """The node in a process of its own, a client, and a look into the database."""

    def __init__(self, folder: Path, database: str) -> None:
        self._database = database
        self.log = folder / "inventory.log"
        self._client = rclpy.create_node("client")
        self._executor = EXECUTORS["events"]()
        self._executor.add_node(self._client)
        self.start()
        self.ask(srv.Find, sku="")  # answered: there is a ledger now
        self.ledger = Ledger(self._database)
        self.ledger.load()

    def start(self) -> None:
        options = ["-p", f"database:={self._database}", "-p", "use_sim_time:=false"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "robo_stow_nodes.inventory", "--ros-args", *options],
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        self.kill()
        self.ledger.close()
        self._executor.shutdown()
        self._client.destroy_node()

    def ask(self, kind: Any, **fields: Any) -> Any:
        """The answer, from a client that asks every two seconds until it has one."""
        client = self._client.create_client(kind, NAMES[kind])
        end = time.monotonic() + 60.0
        while time.monotonic() < end:
            if self._spin_until(client.service_is_ready, 2.0):
                answer = client.call_async(kind.Request(**fields))
                if self._spin_until(answer.done, 2.0):
                    self._client.destroy_client(client)
                    return answer.result()
        raise AssertionError(f"no answer from {NAMES[kind]}:\n{self.log.read_text()[-2000:]}")

    def send(self, kind: Any, until: Callable[[], bool] | None = None, **fields: Any) -> None:
        """Send once, wait ``until`` then (else until it is booked), and be gone before there is an
        answer."""
        client = self._client.create_client(kind, NAMES[kind])
        assert self._spin_until(client.service_is_ready, 10.0)
        client.call_async(kind.Request(**fields))
        until = until or (lambda: bool(self.movements(fields["key"])))
        end = time.monotonic() + 20.0
        while not until():
            assert time.monotonic() < end, f"{fields}:\n{self.log.read_text()[-2000:]}"
            time.sleep(0.01)
        self._client.destroy_client(client)

    def movements(self, key: str | None = None) -> list[dict[str, Any]]:
        names, rows = queries.history(self.ledger)
        moved = [dict(zip(names, row, strict=True)) for row in rows]
        return [movement for movement in moved if key in (None, movement["key"])]

    def stock(self, sku: str | None = None) -> list[dict[str, Any]]:
        names, rows = queries.stock(self.ledger, sku)
        return [dict(zip(names, row, strict=True)) for row in rows]

    def two_bins(self) -> tuple[str, int, int]:
        """A SKU and two bins with four pieces of it or more."""
        bins: dict[str, list[int]] = {}
        for row in self.stock():
            if row["place"] == "bin" and row["pieces"] - row["reserved"] >= 4:
                bins.setdefault(row["sku"], []).append(row["bin"])
                if len(bins[row["sku"]]) == 2:
                    return (row["sku"], *bins[row["sku"]])
        raise AssertionError("no such SKU")

    def _spin_until(self, condition: Callable[[], bool], seconds: float) -> bool:
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                return False
            self._executor.spin_once(timeout_sec=0.02)
        return True


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with pytest.MonkeyPatch.context() as patch:
        # Runs side by side on one machine must not hear one another.
        patch.setenv("ROS_DOMAIN_ID", str(1 + os.getpid() % 100))
        patch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
        rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
        folder = tmp_path_factory.mktemp("inventory")
        site = Site(folder, f"sqlite:///{folder / 'ledger.sqlite'}")
        yield site
        site.close()
        rclpy.shutdown()


def test_a_correction_and_the_questions_are_answered(site: Site) -> None:
    sku, bin_, other = site.two_bins()
    before = {row["bin"]: row["pieces"] for row in site.stock(sku)}

    adjust = {"key": "a1", "sku": sku, "quantity": -2, "reason": "damage", "bin": bin_}
    first, again = site.ask(srv.Adjust, **adjust), site.ask(srv.Adjust, **adjust)
    assert first.ok, first.reason
    assert list(first.granted) == [2]
    assert again == first
    assert len(site.movements("a1")) == 1

    restowed = site.ask(srv.Restow, key="a2", sku=sku, quantity=1, bin=other, to_bin=bin_)
    assert restowed.ok, restowed.reason
    lying = {row["sku"]: row["pieces"] for row in site.stock() if row["bin"] == bin_}
    counted = {**lying, sku: lying[sku] - 1}
    count = site.ask(srv.Count, key="a3", bin=bin_, sku=[*counted], quantity=[*counted.values()])
    assert list(count.granted) == [0, 1]

    goods = {"sku": [sku], "quantity": [5], "owner": ["seller"], "lot": ["L1"]}
    pallet = site.ask(srv.ReceiveLots, key="a4", pallet="p1", expiry=["2030-01-31"], **goods)
    assert pallet.ok, pallet.reason
    found = site.ask(srv.Find, sku=sku)
    assert found.ok
    pieces = dict(zip(found.bin, found.pieces, strict=True))
    assert pieces == {**before, bin_: before[bin_] - 2, other: before[other] - 1, -1: 5}
    at = list(found.bin).index(-1)
    assert (found.place[at], found.pallet[at], found.lot[at]) == ("pallet", "p1", "L1")
    assert (found.owner[at], found.expiry[at], found.pod[at]) == ("seller", "2030-01-31", -1)

    for totals_only in (True, False):
        checked = site.ask(srv.Audit, totals_only=totals_only)
        assert checked.ok, checked.finding
        assert list(checked.finding) == []


def test_a_lost_answer_is_one_movement_also_after_kill_9(site: Site) -> None:
    sku, bin_, other = site.two_bins()
    adjust = {"key": "k1", "sku": sku, "quantity": -2, "reason": "missing", "bin": bin_}
    restow = {"key": "k2", "sku": sku, "quantity": 1, "bin": other, "to_bin": bin_}
    lying = [row for row in site.stock() if row["bin"] == other and row["sku"] != sku]
    late = {**adjust, "key": "k4", "quantity": 1, "reason": "found"}
    count = {"key": "k3", "bin": other, "sku": [], "quantity": []}
    for row in [*lying, *(r for r in site.stock(sku) if r["bin"] == other)]:
        count["sku"].append(row["sku"])
        count["quantity"].append(row["pieces"] - (2 if row["sku"] == sku else 0))

    site.send(srv.Adjust, **adjust)
    assert list(site.ask(srv.Adjust, **adjust).granted) == [2]
    site.send(srv.Restow, **restow)
    site.send(srv.Count, **count)
    booked = site.movements()
    site.send(srv.Adjust, lambda: True, **late)
    site.kill()  # with the last one booked or not
    site.start()

    # The client asks again, and once more, whatever it has heard.
    for _ in range(2):
        for kind, request, granted in (
            (srv.Adjust, adjust, [2]),
            (srv.Restow, restow, [1]),
            (srv.Count, count, [0, 1]),
            (srv.Adjust, late, [1]),
        ):
            answer = site.ask(kind, **request)
            assert (answer.ok, answer.key) == (True, request["key"])
            assert list(answer.granted) == granted
    assert [movement for movement in site.movements() if movement["key"] != "k4"] == booked
    assert len(site.movements("k4")) == 1
    assert site.ask(srv.Audit).ok
    assert audit(site.ledger) == []


def test_every_booking_is_one_movement_whatever_is_lost(site: Site) -> None:
    """A pallet's way to the customer; after each step its answer is lost, or the node killed."""
    sku = site.two_bins()[0]
    site.ask(srv.Receive, key="w1", pallet="way", sku=[sku], quantity=[9])
    faces = ((pod, face) for pod in range(230) for face in range(4))
    proposal = next(
        answer
        for pod, face in faces
        if (answer := site.ask(srv.Propose, key=f"w{pod}.{face}", pallet="way", pod=pod, face=face))
        and sku in answer.sku
    )
    assert proposal.left == 9
    bin_ = proposal.bin[list(proposal.sku).index(sku)]
    there = {row["bin"]: row["pieces"] for row in site.stock(sku)}.get(bin_, 0)
    order = {"bin": bin_, "sku": sku}
    goods = {"sku": [sku], "quantity": [9]}
    many = {name: [value, value] for name, value in order.items()}
    steps: list[tuple[Any, dict[str, Any], list[int], list[tuple[str, int]]]] = [
        (srv.Receive, {"pallet": "way", **goods}, [9], [("receive", 9)]),
        (srv.Stow, {"pallet": "way", **order, "quantity": 2}, [2], [("stow", 2)]),
        (
            srv.Reserve,
            {"order": ["o1", "o2"], **many, "quantity": [1, 1]},
            [1, 1],
            [("reserve", 1)] * 2,
        ),
        (srv.Cancel, {"order": "o2", **order, "quantity": 1}, [1], [("release", 1)]),
        (srv.Pick, {"order": "o1", **order, "quantity": 1}, [1], [("pick", 1)]),
        (srv.Ship, {"order": "o1"}, [1], [("ship", 1)]),
        (srv.MovePod, {"pod": 3, "cell": 44}, [], [("pod-moved", 0)]),
    ]
    for number, (kind, request, granted, moved) in enumerate(steps, 1):
        request["key"] = f"w{number}"
        if number > 1:
            site.send(kind, **request)
            if number in (2, 5):
                site.kill()
                site.start()
        for _ in range(2):
            answer = site.ask(kind, **request)
            assert answer.ok, answer.reason
            assert list(answer.granted) == granted
        booked = [(m["kind"], m["quantity"]) for m in site.movements(request["key"])]
        assert booked == moved
    left = {row["bin"]: row["pieces"] for row in site.stock(sku)}
    assert (left[bin_], left[None]) == (there + 1, 7)
    assert site.ask(srv.Audit).ok


def test_a_database_server_that_dies_and_comes_back(site: Site, tmp_path: Path) -> None:
    programs = find_programs()
    if programs is None:
        pytest.skip("needs a PostgreSQL server (Debian package postgresql)")
    server = PrivateServer(programs)
    site.kill()  # two nodes of one name would both answer
    other = Site(tmp_path, server.fresh())
    try:
        sku, bin_, _ = other.two_bins()
        adjust = {"sku": sku, "quantity": -1, "reason": "damage", "bin": bin_}
        assert other.ask(srv.Adjust, key="s1", **adjust).ok
        server.kill()
        # The client stays until the node has noticed: what is on its way from one that is gone may
        # be lost.
        other.send(srv.Adjust, lambda: "trying again" in other.log.read_text(), key="s2", **adjust)
        server.start()
        for key in ("s2", "s1"):
            answer = other.ask(srv.Adjust, key=key, **adjust)
            assert (answer.ok, list(answer.granted)) == (True, [1]), answer.reason
        assert len(other.movements("s2")) == 1
        assert other.ask(srv.Audit).ok
        assert other.process.poll() is None
    finally:
        other.close()
        server.stop()
        site.start()


def test_what_cannot_be_used_is_refused_and_the_node_lives(site: Site) -> None:
    sku, bin_, other = site.two_bins()
    adjust = {"key": "m", "sku": sku, "quantity": -1, "reason": "damage", "bin": bin_}
    restow = {"key": "m", "sku": sku, "quantity": 1, "bin": bin_, "to_bin": other}
    count = {"key": "m", "bin": bin_, "sku": [sku], "quantity": [1]}
    lots = {"pallet": "p2", "sku": [sku], "quantity": [1], "owner": ["house"], "lot": [""]}
    lots = {"key": "m", **lots, "expiry": [""]}
    huge = [10**9]
    broken: list[tuple[Any, dict[str, Any], str]] = [
        (srv.Adjust, {**adjust, "key": ""}, "key"),
        (srv.Adjust, {**adjust, "key": "a\nb"}, "key"),
        (srv.Adjust, {**adjust, "key": "k" * 5000}, "key"),
        (srv.Adjust, {**adjust, "sku": "☃"}, "sku"),
        (srv.Adjust, {**adjust, "quantity": 0}, "quantity"),
        (srv.Adjust, {**adjust, "quantity": -(2**31)}, "quantity"),
        (srv.Adjust, {**adjust, "quantity": 10**9}, "bin"),
        (srv.Adjust, {**adjust, "reason": "lost"}, "reason"),
        (srv.Adjust, {**adjust, "bin": -2}, "bin"),
        (srv.Adjust, {**adjust, "bin": 2**31 - 1}, "bin"),
        (srv.Adjust, {**adjust, "bin": -1}, "bin"),
        (srv.Adjust, {**adjust, "pallet": "p2"}, "bin"),
        (srv.Adjust, {**adjust, "bin": -1, "pallet": "nowhere"}, "pallet"),
        (srv.Restow, {**restow, "to_bin": bin_}, "to_bin"),
        (srv.Restow, {**restow, "to_bin": -1}, "to_bin"),
        (srv.Restow, {**restow, "quantity": -1}, "quantity"),
        (srv.Count, {**count, "quantity": [1, 2]}, "sku, quantity"),
        (srv.Count, {**count, "quantity": [-1]}, "quantity"),
        (srv.Count, {**count, "sku": [sku] * 4, "quantity": huge * 4}, "quantity"),
        (srv.ReceiveLots, {**lots, "expiry": ["tomorrow"]}, "expiry"),
        (srv.ReceiveLots, {**lots, "owner": [""]}, "owner"),
        (srv.ReceiveLots, {**lots, "lot": []}, "lot"),
        (
            srv.Receive,
            {"key": "m", "pallet": "p2", "sku": [sku] * 4, "quantity": huge * 4},
            "quant",
        ),
        (srv.Find, {"sku": "nothing"}, "SKU"),
        (srv.Find, {"sku": ""}, "SKU"),
    ]
    booked = site.movements()
    for number, (kind, request, field) in enumerate(broken):
        if request.get("key") == "m":
            request["key"] = f"m{number}"
        answer = site.ask(kind, **request)
        assert not answer.ok, request
        assert field in answer.reason.split(" = ")[0], answer.reason
    assert site.movements() == booked

    assert site.ask(srv.Adjust, **{**adjust, "key": "m"}).ok
    reused = site.ask(srv.Adjust, **{**adjust, "key": "m", "quantity": -2})
    assert not reused.ok
    assert "already used" in reused.reason
    assert len(site.movements()) == len(booked) + 1
    assert site.ask(srv.Audit).ok
    assert site.process.poll() is None
    assert "Traceback" not in site.log.read_text()
