"""Which bins to count next: those where the ledger is most likely to be wrong.

A bin goes wrong when hands are in it, so its risk is what has happened there since somebody last
counted it: every stow and pick may have gone astray, and a piece that was missing or turned up is
a sign that more is wrong.
"""

from __future__ import annotations

from sqlalchemy import case, func, select

from robo_stow.inventory import schema
from robo_stow.inventory.ledger import Ledger
from robo_stow.inventory.queries import Answer

HANDLED = 1
"""Risk of one stow or pick."""
WRONG = 20
"""Risk of one adjustment: short pick, mis-stow, damage, found piece."""


def bins_to_count(ledger: Ledger, most: int) -> Answer:
    """Bins by falling risk, at most ``most``; bins where nothing happened have none."""
    m = schema.movement.c
    counted = (
        select(m.bin, func.max(m.id).label("id"))
        .where(m.kind == "count")
        .group_by(m.bin)
        .subquery()
    )
    opening = select(func.coalesce(func.max(m.id), 0)).where(m.key == "opening").scalar_subquery()
    handled = func.sum(case((m.kind.in_(("stow", "pick")), 1), else_=0))
    wrong = func.sum(case((m.kind == "adjust", 1), else_=0))
    risk = HANDLED * handled + WRONG * wrong
    b = schema.bin_.c
    query = (
        select(m.bin, b.pod, b.face, b.slot, schema.pod_place.c.cell)
        .add_columns(handled.label("handled"), wrong.label("wrong"), risk.label("risk"))
        .join_from(schema.movement, schema.bin_, b.id == m.bin)
        .join(counted, counted.c.bin == m.bin, isouter=True)
        .join(schema.pod_place, schema.pod_place.c.pod == b.pod, isouter=True)
        # A count's own adjustments follow it in the ledger: they are no sign of a new error.
        .where(m.id > func.coalesce(counted.c.id, opening))
        .where(m.kind.in_(("stow", "pick", "adjust")))
        .where(func.coalesce(m.reason, "") != "count")
        .group_by(m.bin, b.pod, b.face, b.slot, schema.pod_place.c.cell)
        .order_by(risk.desc(), m.bin)
        .limit(most)
    )
    with ledger.reading() as connection:
        result = connection.execute(query)
        return tuple(result.keys()), [tuple(row) for row in result]
