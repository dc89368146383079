"""Sizes: sides of pieces and bins, shelves.

What an older ledger holds gets the sides of a cube of its volume; the bins get theirs from the
building when the site opens the ledger.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

SIDES = {"sku": ("length", "width", "height"), "bin": ("width", "depth", "height")}


def upgrade() -> None:
    """Add the columns and fill them."""
    connection = op.get_bind()
    op.add_column("bin", sa.Column("shelf", sa.Integer(), server_default="0", nullable=False))
    for table, names in SIDES.items():
        for name in names:
            op.add_column(table, sa.Column(name, sa.Integer(), server_default="1", nullable=False))
        volumes = connection.execute(sa.text(f"SELECT DISTINCT volume FROM {table}")).scalars()
        cubes = [{"volume": volume, "side": _side(volume)} for volume in volumes]
        if cubes:
            values = ", ".join(f"{name} = :side" for name in names)
            update = f"UPDATE {table} SET {values} WHERE volume = :volume"
            connection.execute(sa.text(update), cubes)


def _side(volume: int) -> int:
    """Least side (mm) of a cube that holds ``volume`` (mm^3)."""
    side = int(round(volume ** (1 / 3)))
    return side if side**3 >= volume else side + 1
