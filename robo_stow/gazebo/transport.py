"""Client of Gazebo 11's transport: topics of a running gzserver, from plain Python.

TCP throughout; every frame is its length as 8 hexadecimal digits, then a protobuf message. The
master at GAZEBO_MASTER_URI tells publishers and subscribers of each other (messages wrapped in
``Packet``); a subscriber then connects to the publisher, says what it wants and receives bare
messages. One thread reads all sockets.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from robo_stow.errors import RoboStowError
from robo_stow.gazebo.wire import message, parse

HEADER = 8
WORLD = "/gazebo/default/"


class GazeboError(RoboStowError):
    """The Gazebo server is not there, or does not do what it was asked for."""


@dataclass(eq=False)
class _Link:
    """One connection: bytes read so far, and what to do with a frame."""

    socket: socket.socket
    take: Callable[[_Link, bytes], None]
    buffer: bytearray = field(default_factory=bytearray)


class _Subscription:
    def __init__(self, kind: str, callback: Callable[[bytes], None]) -> None:
        self.kind, self.callback = kind, callback
        self.publishers: set[tuple[str, int]] = set()


class Publisher:
    """A topic we publish on; messages go to whoever subscribes.

    Attributes:
        topic: its whole name.
        kind: message type without package.
    """

    def __init__(self, topic: str, kind: str, changed: threading.Condition) -> None:
        self.topic, self.kind = topic, kind
        self._links: list[socket.socket] = []
        self._changed = changed

    def publish(self, content: Any) -> None:
        """Send a message to all subscribers."""
        data = _frame(content)
        for link in list(self._links):
            try:
                link.sendall(data)
            except OSError:
                with contextlib.suppress(ValueError):
                    self._links.remove(link)

    @property
    def subscribers(self) -> int:
        """How many subscribe."""
        return len(self._links)

    def _add(self, link: socket.socket) -> None:
        with self._changed:
            self._links.append(link)
            self._changed.notify_all()


class Transport:
    """Connection to the master of a gzserver.

    Topics are named as in Gazebo: ``~/x`` is ``/gazebo/default/x``.

    Args:
        port: of the master, on this machine.
        timeout: s to wait for the master and for its answers.

    Raises:
        GazeboError: no master answers.
    """

    def __init__(self, port: int, timeout: float = 10.0) -> None:
        self._timeout = timeout
        self._changed = threading.Condition()
        self._publishers: dict[str, Publisher] = {}
        self._subscriptions: dict[str, _Subscription] = {}
        self._selector = selectors.DefaultSelector()
        self._closed = False
        self._ready = False
        self._server = socket.create_server(("127.0.0.1", 0))
        self._port = int(self._server.getsockname()[1])
        self._selector.register(self._server, selectors.EVENT_READ, None)
        try:
            self._master = self._connect("127.0.0.1", port, self._on_master)
        except OSError as error:
            self.close()
            raise GazeboError(f"no Gazebo master on port {port}: {error}") from None
        self._thread = threading.Thread(target=self._read, name="gazebo", daemon=True)
        self._thread.start()
        self.wait(lambda: self._ready, "the master's greeting")

    def close(self) -> None:
        """Close all connections."""
        self._closed = True
        for key in list(self._selector.get_map().values()):
            with contextlib.suppress(OSError):
                key.fileobj.close()  # type: ignore[union-attr]

    def wait(self, condition: Callable[[], bool], what: str, timeout: float | None = None) -> None:
        """Wait until ``condition`` holds; it is asked whenever something has changed.

        Raises:
            GazeboError: it did not come to hold in time.
        """
        limit = self._timeout if timeout is None else timeout
        with self._changed:
            if not self._changed.wait_for(condition, limit):
                raise GazeboError(f"waited {limit:g} s for {what}")

    def advertise(self, topic: str, kind: str) -> Publisher:
        """Begin to publish messages of type ``gazebo.msgs.KIND``."""
        topic = _whole(topic)
        publisher = self._publishers[topic] = Publisher(topic, kind, self._changed)
        self._tell("advertise", "Publish", topic, kind)
        return publisher

    def advertise_to_server(self, topic: str, kind: str) -> Publisher:
        """As `advertise`, and wait until somebody subscribes."""
        publisher = self.advertise(topic, kind)
        self.wait(lambda: publisher.subscribers > 0, f"a subscriber of {topic}")
        return publisher

    def subscribe(self, topic: str, kind: str, callback: Callable[[bytes], None]) -> None:
        """Have ``callback`` called with the bytes of each message, in the reading thread.

        ``wait`` looks again after each.
        """
        topic = _whole(topic)
        self._subscriptions[topic] = _Subscription(kind, callback)
        self._tell("subscribe", "Subscribe", topic, kind)

    # --- the reading thread --------------------------------------------------------------------

    def _read(self) -> None:
        while not self._closed:
            try:
                events = self._selector.select(1.0)
            except (OSError, ValueError):
                return
            for key, _ in events:
                try:
                    if key.data is None:
                        link, _address = self._server.accept()
                        self._register(link, self._on_packet)
                    else:
                        self._receive(key.data)
                except (OSError, ValueError, KeyError):
                    if self._closed:
                        return

    def _receive(self, link: _Link) -> None:
        try:
            data = link.socket.recv(1 << 18)
        except OSError:
            data = b""
        if not data:
            self._selector.unregister(link.socket)
            link.socket.close()
            return
        buffer = link.buffer
        buffer += data
        start = 0
        while len(buffer) - start >= HEADER:
            length = int(bytes(buffer[start : start + HEADER]), 16)
            end = start + HEADER + length
            if len(buffer) < end:
                break
            link.take(link, bytes(buffer[start + HEADER : end]))
            start = end
        del buffer[:start]
        if start:
            with self._changed:
                self._changed.notify_all()

    def _register(self, link: socket.socket, take: Callable[[_Link, bytes], None]) -> None:
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._selector.register(link, selectors.EVENT_READ, _Link(link, take))

    def _connect(self, host: str, port: int, take: Callable[[_Link, bytes], None]) -> socket.socket:
        link = socket.create_connection((host, port), self._timeout)
        link.settimeout(None)
        self._register(link, take)
        return link

    def _tell(self, what: str, kind: str, topic: str, content: str) -> None:
        self._master.sendall(
            _packet(
                what,
                message(
                    kind,
                    topic=topic,
                    msg_type=f"gazebo.msgs.{content}",
                    host="127.0.0.1",
                    port=self._port,
                ),
            )
        )

    def _on_master(self, link: _Link, data: bytes) -> None:
        packet = parse("Packet", data)
        if packet.type == "publishers_init":
            self._ready = True
        elif packet.type in ("publisher_subscribe", "publisher_advertise"):
            self._follow(parse("Publish", packet.serialized_data))

    def _follow(self, publish: Any) -> None:
        """Connect to a publisher of a topic we subscribe to."""
        subscription = self._subscriptions.get(publish.topic)
        address = (publish.host, publish.port)
        if subscription is None or address in subscription.publishers:
            return
        if address == ("127.0.0.1", self._port):
            return
        subscription.publishers.add(address)
        callback = subscription.callback
        try:
            link = self._connect(*address, lambda _, data: callback(data))
        except OSError:
            subscription.publishers.discard(address)
            return
        link.sendall(
            _packet(
                "sub",
                message(
                    "Subscribe",
                    topic=publish.topic,
                    host="127.0.0.1",
                    port=self._port,
                    msg_type=f"gazebo.msgs.{subscription.kind}",
                    latching=False,
                ),
            )
        )

    def _on_packet(self, link: _Link, data: bytes) -> None:
        """A subscriber that has connected to us says what it wants."""
        packet = parse("Packet", data)
        if packet.type == "sub":
            wanted = parse("Subscribe", packet.serialized_data)
            publisher = self._publishers.get(wanted.topic)
            if publisher is not None:
                publisher._add(link.socket)


def _whole(topic: str) -> str:
    return WORLD + topic[2:] if topic.startswith("~/") else topic


def _frame(content: Any) -> bytes:
    data: bytes = content.SerializeToString()
    return b"%08X" % len(data) + data


def _packet(kind: str, content: Any) -> bytes:
    seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    stamp = message("Time", sec=seconds, nsec=nanoseconds)
    return _frame(
        message("Packet", stamp=stamp, type=kind, serialized_data=content.SerializeToString())
    )
