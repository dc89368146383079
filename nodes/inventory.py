"""Node of the inventory."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from robo_stow_nodes import parameters, topics
from robo_stow_nodes.conversions import ANSWERS, SERVICES
from robo_stow_nodes.shell import CoreNode, run_alone

from robo_stow.errors import InputError
from robo_stow.inventory.core import InventoryCore
from robo_stow.inventory.database import LedgerError
from robo_stow.messages import Core, PodRegister, PodSpace, Reply, StockLevels

if TYPE_CHECKING:
    from robo_stow.warehouse import Warehouse


PATIENCE = 60.0
"""Seconds for which a database that fails is tried again."""

T = TypeVar("T")


class InventoryNode(CoreNode):
    """The ledger. A request is answered after its commit; the same key again gets the same answer.

    While its database fails the node answers nothing and tries again; after `PATIENCE` it ends with
    exit code 1.

    Serves:
        /inventory/receive (Receive), /inventory/reserve (Reserve), /inventory/cancel (Cancel),
        /inventory/pick (Pick), /inventory/propose (Propose), /inventory/stow (Stow),
        /inventory/ship (Ship), /inventory/move_pod (MovePod),
        /inventory/receive_lots (ReceiveLots): as receive, with owners, lots and expiry,
        /inventory/adjust (Adjust), /inventory/restow (Restow), /inventory/count (Count): put the
            ledger right,
        /inventory/find (Find), /inventory/audit (Audit): questions, without a key

    Publishes, transient local, whole for late joiners:
        /inventory/stock_levels (StockLevels): pieces in bins.
        /inventory/pod_space (PodSpace): free volume of pod faces.
        /inventory/pod_register (PodRegister): where pods were last set down.

    Parameters: those of `CoreNode`, and
        database (str): SQLAlchemy URL of the ledger; "sqlite://" lives in memory.
    """

    KIND = "inventory"
    PUBLISHES = (StockLevels, PodSpace, PodRegister)
    _core: InventoryCore

    def build(self) -> Sequence[Core]:
        database = parameters.declare(self, self.KIND, "database", "SQLAlchemy URL of the ledger")
        self._core = InventoryCore(self.building, self.seed, database)
        return (self._core,)

    def take(self, warehouse: Warehouse) -> Sequence[Core]:
        self._core = warehouse.inventory
        return (self._core,)

    def connect(self) -> None:
        super().connect()
        for record, service in SERVICES.items():
            serve = self._answer if record in ANSWERS else self._serve
            self.create_service(service, topics.SERVICES[record], partial(serve, record))

    def _serve(self, kind: type, message: Any, response: Any) -> Any:
        answer = self.converter.reply(kind)
        try:
            request = self.converter.request(kind).decode(message)
        except InputError as error:
            self.reject(error)
            return answer.encode(Reply(key=message.key, ok=False, reason=str(error)))
        reply, changes = self._patiently(lambda: self._core.handle(request, self.now()))
        self.send(changes)
        return answer.encode(reply)

    def _answer(self, kind: type, message: Any, response: Any) -> Any:
        question = self.converter.request(kind).decode(message)  # texts and flags: nothing to check
        return self.converter.reply(kind).encode(
            self._patiently(lambda: self._core.answer(question))
        )

    def _patiently(self, ask: Callable[[], T]) -> T:
        """What the core says; a database that fails is asked again, for `PATIENCE`.

        Nothing else is answered meanwhile: an answer would have to say whether the request is
        booked. Asking again is safe, as the core knows the key.
        """
        end = time.monotonic() + PATIENCE
        while True:
            try:
                return ask()
            except LedgerError as error:
                if time.monotonic() > end:
                    raise
                self.get_logger().error(f"{error}; trying again")
                time.sleep(1.0)


def main(args: Sequence[str] | None = None) -> int:
    """Run the node as a process."""
    return run_alone(InventoryNode, args)


if __name__ == "__main__":
    raise SystemExit(main())
