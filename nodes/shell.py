"""The one shell around every core: queue what arrives, step on a timer, publish what is said."""

from __future__ import annotations

import faulthandler
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import rclpy
from rclpy.action import ActionClient, ActionServer
from rclpy.clock import Clock, ClockType
from rclpy.event_handler import PublisherEventCallbacks
from rclpy.exceptions import ParameterException
from rclpy.executors import Executor, SingleThreadedExecutor
from rclpy.experimental import EventsExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from rclpy.task import Future
from robo_stow_interfaces.msg import Heartbeat
from robo_stow_nodes import parameters, qos, topics
from robo_stow_nodes.conversions import MESSAGES, SERVICES, Codec, Converter
from robo_stow_nodes.snapshots import KINDS, Snapshot

from robo_stow.errors import InputError, RoboStowError
from robo_stow.floor.building import Building, LifterSite, Station
from robo_stow.floor.load import load_building
from robo_stow.messages import Core, Message, PickVisit, Reply, StowVisit

if TYPE_CHECKING:
    from robo_stow.warehouse import Warehouse

HEARTBEAT_SECONDS = 0.2
"""Wall time between heartbeats of a node that is not stepped: before the start, or while the
clock waits for another node. DDS repairs a loss at its writer's next word; this is the word."""

SAME_STOP_SECONDS = 1.0
"""Wall time (s) after a signal to stop in which another one is the same: Ctrl-C and systemd signal
every process, and `ros2 launch` without a terminal passes it on to each of them once more."""

STOP_SECONDS = 10
"""Wall time (s) a process has to end after SIGINT or SIGTERM; then SIGALRM ends it."""

EXECUTORS: dict[str, Callable[[], Executor]] = {
    "events": EventsExecutor,
    "single": SingleThreadedExecutor,
}


class CoreNode(Node):
    """A node that hosts cores.

    Subscribes to the topic of every record its cores consume (those of a station or lifter once
    for each), calls the inventory's services for requests and queues the replies, publishes all
    other records.

    Publishes:
        /heartbeat (robo_stow_interfaces/Heartbeat): after every step, and every
            0.2 s of wall time.

    Parameters:
        building (str): shipped building or YAML file.
        units (int): drive units; 0 takes the building's number.
        orders (str): CSV of order lines; empty for the building's own. Equal for all nodes.
        seed (int): -1 takes the building's.
        period (s): building time between steps.

    Args:
        warehouse: cores built elsewhere, when nodes are composed; by default the node loads the
            building and builds its own.
        options: passed on to `rclpy.node.Node`.

    Raises:
        InputError: the building cannot be used.
    """

    KIND: ClassVar[str]
    """Name of the node and of its parameter file."""
    PUBLISHES: ClassVar[tuple[type, ...]] = ()
    """Records, requests included, that the cores emit."""
    BY_ACTION: ClassVar[tuple[type, ...]] = ()
    """Records the node gets or gives by an action although they have a topic."""

    def __init__(self, warehouse: Warehouse | None = None, **options: Any) -> None:
        super().__init__(self.KIND, **options)
        declare = partial(parameters.declare, self, self.KIND)
        name = declare("building", "shipped building or YAML file")
        units = declare("units", "drive units; 0: as the building says", (0, 100_000))
        orders = declare("orders", "CSV of order lines; empty: the building's own")
        seed = declare("seed", "seed of all randomness; -1: the building's", (-1, 2**31 - 1))
        self.period = declare("period", "building time between steps, s", (0.01, 60.0))
        if warehouse is None:
            self.building: Building = load_building(
                name, units=units or None, orders=orders or None
            )
        else:
            self.building = warehouse.building
        self.seed: int = self.building.seed if seed < 0 else seed
        self.cores: tuple[Core, ...] = tuple(
            self.build() if warehouse is None else self.take(warehouse)
        )
        self.converter = Converter(self.building)
        self.outlets: dict[type, Callable[[Any], None]] = {}
        self._inboxes: list[list[Message]] = [[] for _ in self.cores]
        self._readers: dict[type, list[int]] = {}
        for index, core in enumerate(self.cores):
            for record in core.consumes:
                self._readers.setdefault(record, []).append(index)
        self._pending: dict[str, tuple[Any, Future]] = {}
        self._snapshots: dict[type, Snapshot] = {}
        self._step_seconds = 0.0
        self._heart = self.create_publisher(Heartbeat, topics.HEARTBEAT, qos.COMMAND)
        self.connect()
        self.start()

    # -- what a kind of node says about itself --------------------------------------------------

    def build(self) -> Sequence[Core]:
        """The cores of a node that runs alone."""
        raise NotImplementedError

    def take(self, warehouse: Warehouse) -> Sequence[Core]:
        """This node's cores out of those of a whole site."""
        raise NotImplementedError

    def stations(self) -> Sequence[Station]:
        """Stations whose topics the node uses."""
        return self.building.stations

    def lifters(self) -> Sequence[LifterSite]:
        """Lifters whose topics the node uses."""
        return self.building.lifters

    # -- the graph ------------------------------------------------------------------------------

    def connect(self) -> None:
        """Create publishers, subscriptions and clients for what the cores say and want."""
        for record in self.PUBLISHES:
            if record in SERVICES:
                self._connect_service(record)
            elif record in MESSAGES:
                self._connect_publisher(record)
        for record in self._readers:
            if record in MESSAGES and record not in self.BY_ACTION:
                self._connect_subscription(record)

    def start(self) -> None:
        """Create the timers."""
        self.create_timer(self.period, self.on_timer)
        self.create_timer(
            HEARTBEAT_SECONDS, self.beat, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )

    def places(self, record: type) -> list[str]:
        """Stations or lifters whose own topics carry ``record``."""
        if topics.place_of(record) == "lifter":
            return [site.id for site in self.lifters()]
        kind = {PickVisit: "pick", StowVisit: "stow"}.get(record)
        return [s.id for s in self.stations() if kind in (None, s.kind)]

    def _connect_publisher(self, record: type) -> None:
        codec = self.converter.codec(record)
        place = topics.place_of(record)
        if place is not None:
            publishers = {
                name: self.create_publisher(
                    codec.message,
                    topics.topic(topics.TOPICS[record], **{place: name}),
                    qos.of(record),
                )
                for name in self.places(record)
            }
            self.outlets[record] = lambda said: publishers[getattr(said, place)].publish(
                codec.encode(said)
            )
            return
        if record not in KINDS:
            publisher = self.create_publisher(codec.message, topics.TOPICS[record], qos.of(record))
            self.outlets[record] = lambda said: publisher.publish(codec.encode(said))
            return
        snapshot = self._snapshots[record] = Snapshot(record)
        events = PublisherEventCallbacks(matched=lambda _: self._repeat(record))
        changes = self.create_publisher(
            codec.message, topics.TOPICS[record], qos.of(record), event_callbacks=events
        )

        def publish(said: Any) -> None:
            snapshot.add(said)
            changes.publish(codec.encode(said))

        self.outlets[record] = publish

    def _repeat(self, record: type) -> None:
        """Say everything again for a subscriber that has just joined."""
        if record in self.outlets:
            for part in self._snapshots[record].whole(self.now()):
                self.outlets[record](part)

    def _connect_subscription(self, record: type) -> None:
        codec = self.converter.codec(record)
        place = topics.place_of(record)
        names = [topics.TOPICS[record]]
        if place is not None:
            names = [topics.topic(names[0], **{place: name}) for name in self.places(record)]
        for name in names:
            self.create_subscription(
                codec.message, name, partial(self.on_message, codec), qos.of(record)
            )

    def _connect_service(self, record: type) -> None:
        client = self.create_client(SERVICES[record], topics.SERVICES[record])
        question, answer = self.converter.request(record), self.converter.reply(record)

        def ask(request: Any) -> None:
            # The core asks again until it has its answer; then the last call is the one to wait
            # for, as an earlier one may have gone to an inventory that is no more.
            earlier = self._pending.pop(request.key, None)
            if earlier is not None:
                earlier[0].remove_pending_request(earlier[1])
            if client.service_is_ready():
                future = client.call_async(question.encode(request))
                self._pending[request.key] = (client, future)
                future.add_done_callback(partial(self._on_reply, answer, request.key))

        self.outlets[record] = ask

    # -- what comes in --------------------------------------------------------------------------

    def on_message(self, codec: Codec, message: Any) -> None:
        """Queue a message's record for the cores; drop one that breaks its contract."""
        try:
            self.deliver(codec.decode(message))
        except InputError as error:
            self.reject(error)

    def deliver(self, record: Any) -> None:
        """Queue ``record`` for the cores that want it."""
        for index in self._readers.get(type(record), ()):
            self._inboxes[index].append(record)

    def reject(self, error: InputError) -> None:
        """Log a message that cannot be used."""
        self.get_logger().warning(f"ignored: {error}", throttle_duration_sec=1.0)

    def _on_reply(self, codec: Codec, key: str, future: Future) -> None:
        pending = self._pending.get(key)
        if pending is None or pending[1] is not future or future.cancelled():
            return
        del self._pending[key]
        try:
            reply: Reply = codec.decode(future.result())
        except InputError as error:
            self.reject(error)
        else:
            self.deliver(reply)

    # -- what goes out --------------------------------------------------------------------------

    def now(self) -> float:
        """Building time, s."""
        return float(self.get_clock().now().nanoseconds * 1e-9)

    def on_timer(self) -> None:
        """Step the cores."""
        self.step(self.now())
        self.beat()

    def step(self, now: float) -> None:
        """Step every core once and send what they say."""
        started = time.perf_counter()
        said: list[Message] = []
        for index, core in enumerate(self.cores):
            inbox, self._inboxes[index] = self._inboxes[index], []
            said += core.step(now, inbox)
        self._step_seconds += time.perf_counter() - started
        self.send(said)

    def send(self, said: Sequence[Message]) -> None:
        """Send records to wherever their kind goes."""
        for record in said:
            self.outlets[type(record)](record)

    def beat(self) -> None:
        """Publish a heartbeat."""
        beat = Heartbeat(node=self.get_name(), step_seconds=self._step_seconds)
        beat.stamp = self.get_clock().now().to_msg()
        self._heart.publish(beat)
        self._step_seconds = 0.0

    def destroy_node(self) -> None:
        """End the node, its actions included."""
        destroy_actions(self)
        super().destroy_node()


def choose_stations(node: CoreNode, kind: str) -> list[Station]:
    """Stations of ``kind`` that the node's parameter ``station`` names; all when it is empty.

    Raises:
        InputError: there is no such station.
    """
    wanted = parameters.declare(node, node.KIND, "station", "id of the station; empty: all")
    known = [s for s in node.building.stations if s.kind == kind]
    chosen = [s for s in known if wanted in ("", s.id)]
    if not chosen:
        names = ", ".join(s.id for s in known)
        raise InputError(node.KIND, "station", wanted, f"one of {names} expected")
    return chosen


def destroy_actions(node: Node) -> None:
    """End the action clients and servers of a node, which ``Node.destroy_node`` leaves.

    Their handles keep the node itself in the graph: a client would go on to find a server that
    answers nothing.
    """
    for waitable in list(node.waitables):
        if isinstance(waitable, ActionClient | ActionServer):
            waitable.destroy()


class Stopper:
    """Turns SIGINT and SIGTERM into a flag, so that nothing is cut off in the middle.

    A second signal, `SAME_STOP_SECONDS` after the first or later, interrupts at once. A process
    that is still there `STOP_SECONDS` after the first one says on stderr where all its threads are
    and is ended by the kernel, wherever it hangs: a handler in Python runs only when the main
    thread comes back from what it is in, so a thread of its own starts the alarm.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._signalled = math.inf
        self._bytes, wakeup = os.pipe()
        os.set_blocking(wakeup, False)
        self._wakeup = wakeup
        self._wakeup_before = signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
        faulthandler.register(signal.SIGALRM, file=2, chain=True)
        threading.Thread(target=self._watch, name="stopper", daemon=True).start()
        self._before = {
            number: signal.signal(number, self._on_signal)
            for number in (signal.SIGINT, signal.SIGTERM)
        }

    def _on_signal(self, number: int, frame: object) -> None:
        now = time.monotonic()
        if now - self._signalled >= SAME_STOP_SECONDS:
            raise KeyboardInterrupt
        if self.signal is None:
            self.signal, self._signalled = number, now

    def _watch(self) -> None:
        with open(self._bytes, "rb", buffering=0) as signals:
            while number := signals.read(1):
                if number[0] in self._before:
                    signal.alarm(STOP_SECONDS)

    def restore(self) -> None:
        """Put back the handlers from before; the process may go on."""
        signal.set_wakeup_fd(self._wakeup_before)
        os.close(self._wakeup)
        signal.alarm(0)
        for number, handler in self._before.items():
            signal.signal(number, handler)


def spin(executor: Executor, stop: Callable[[], bool]) -> None:
    """Run the nodes of ``executor`` until ``stop`` says so; it is asked ten times a second.

    One callback at a time: timers of an `EventsExecutor` do not fire in its own ``spin``
    (rclpy 7.1.6), but do in ``spin_once``.
    """
    ask_at = -math.inf
    while True:
        wall = time.monotonic()
        if wall >= ask_at:
            if stop():
                return
            ask_at = wall + 0.1
        executor.spin_once(timeout_sec=0.1)


def run_alone(kind: type[CoreNode], args: Sequence[str] | None = None) -> int:
    """Run one node as a process until SIGINT or SIGTERM; the body of every node's ``main``.

    Returns:
        Exit code: 0 when stopped by a signal, 2 when the parameters cannot be used, 1 when the
        node could not go on.
    """
    given = list(sys.argv[1:] if args is None else args)
    # The one parameter that rclpy declares itself; what the caller says comes later and counts.
    simulated = str(parameters.defaults(kind.KIND)["use_sim_time"]).lower()
    preset = ["--ros-args", "-p", f"use_sim_time:={simulated}", "--"]
    try:
        rclpy.init(
            args=[kind.KIND, *preset, *given], signal_handler_options=SignalHandlerOptions.NO
        )
    except RuntimeError as error:  # of rcl, which cannot use the arguments or a file they name
        print(f"{kind.KIND}: {error}", file=sys.stderr)
        return 2
    stopper = Stopper()
    node: CoreNode | None = None
    executor: Executor | None = None
    try:
        node = kind()
        executor = EXECUTORS[_executor_name(node)]()
        executor.add_node(node)
        spin(executor, lambda: stopper.signal is not None)
    except (InputError, ParameterException) as error:
        print(f"{kind.KIND}: {error}", file=sys.stderr)
        return 2
    except RoboStowError as error:
        print(f"{kind.KIND}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        pass
    finally:
        if executor is not None:
            executor.shutdown()
        if node is not None:
            node.destroy_node()
        rclpy.try_shutdown()
        stopper.restore()
        if stopper.signal is not None:
            # For the rest of the way out of the process:
            signal.alarm(STOP_SECONDS)
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)
    return 0


def _executor_name(node: CoreNode) -> str:
    wanted = parameters.declare(node, node.KIND, "executor", "rclpy executor: events or single")
    if wanted not in EXECUTORS:
        raise InputError(node.KIND, "executor", wanted, f"one of {', '.join(EXECUTORS)} expected")
    return str(wanted)
