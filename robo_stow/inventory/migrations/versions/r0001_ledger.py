"""The ledger as first released."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

GUARDS = {
    "sqlite": (
        "CREATE TRIGGER {0}_no_update BEFORE UPDATE ON {0} "
        "BEGIN SELECT RAISE(ABORT, '{0} is append-only'); END",
        "CREATE TRIGGER {0}_no_delete BEFORE DELETE ON {0} "
        "BEGIN SELECT RAISE(ABORT, '{0} is append-only'); END",
    ),
    "postgresql": (
        "CREATE FUNCTION {0}_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION '{0} is append-only'; END $$",
        "CREATE TRIGGER {0}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {0} "
        "EXECUTE FUNCTION {0}_append_only()",
    ),
}


def upgrade() -> None:
    """Create all tables and the guards of the facts."""
    op.create_table(
        "meta",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("value", sa.String(length=200), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_meta")),
    )
    op.create_table(
        "owner",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("code", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_owner")),
        sa.UniqueConstraint("code", name=op.f("uq_owner_code")),
    )
    op.create_table(
        "pallet",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("time", sa.Float(precision=53), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pallet")),
    )
    op.create_table(
        "pod",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("capacity", sa.BigInteger(), nullable=False),
        sa.Column("hazard", sa.String(length=64), server_default="", nullable=False),
        sa.Column("temperature", sa.String(length=64), server_default="ambient", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pod")),
    )
    op.create_table(
        "reply",
        sa.Column("key", sa.String(length=128), nullable=False),
        sa.Column("digest", sa.String(length=32), nullable=False),
        sa.Column("time", sa.Float(precision=53), nullable=False),
        sa.Column("body", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_reply")),
    )
    op.create_table(
        "sku",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("code", sa.String(length=64), nullable=False),
        sa.Column("volume", sa.BigInteger(), nullable=False),
        sa.Column("weight", sa.BigInteger(), nullable=False),
        sa.Column("hazard", sa.String(length=64), server_default="", nullable=False),
        sa.Column("temperature", sa.String(length=64), server_default="ambient", nullable=False),
        sa.CheckConstraint("volume > 0 AND weight > 0", name=op.f("ck_sku_size")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sku")),
        sa.UniqueConstraint("code", name=op.f("uq_sku_code")),
    )
    op.create_table(
        "balance",
        sa.Column("sku", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("received", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("adjusted", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("shipped", sa.BigInteger(), server_default="0", nullable=False),
        sa.CheckConstraint("received >= 0 AND shipped >= 0", name=op.f("ck_balance_positive")),
        sa.ForeignKeyConstraint(["sku"], ["sku.id"], name=op.f("fk_balance_sku")),
        sa.PrimaryKeyConstraint("sku", name=op.f("pk_balance")),
    )
    op.create_table(
        "bin",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("pod", sa.Integer(), nullable=False),
        sa.Column("face", sa.Integer(), nullable=False),
        sa.Column("slot", sa.Integer(), nullable=False),
        sa.Column("volume", sa.BigInteger(), nullable=False),
        sa.Column("capacity", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["pod"], ["pod.id"], name=op.f("fk_bin_pod")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bin")),
    )
    op.create_table(
        "lot",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("sku", sa.Integer(), nullable=False),
        sa.Column("owner", sa.Integer(), nullable=False),
        sa.Column("code", sa.String(length=64), server_default="", nullable=False),
        sa.Column("expiry", sa.Date(), nullable=True),
        sa.ForeignKeyConstraint(["owner"], ["owner.id"], name=op.f("fk_lot_owner")),
        sa.ForeignKeyConstraint(["sku"], ["sku.id"], name=op.f("fk_lot_sku")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_lot")),
        sa.UniqueConstraint("sku", "owner", "code", name=op.f("uq_lot_sku_owner_code")),
    )
    op.create_table(
        "pod_place",
        sa.Column("pod", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("cell", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["pod"], ["pod.id"], name=op.f("fk_pod_place_pod")),
        sa.PrimaryKeyConstraint("pod", name=op.f("pk_pod_place")),
    )
    op.create_table(
        "movement",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("key", sa.String(length=128), nullable=False),
        sa.Column("line", sa.Integer(), nullable=False),
        sa.Column("time", sa.Float(precision=53), nullable=False),
        sa.Column("kind", sa.String(length=12), nullable=False),
        sa.Column("lot", sa.Integer(), nullable=True),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.Column("pallet", sa.String(length=64), nullable=True),
        sa.Column("bin", sa.Integer(), nullable=True),
        sa.Column("order_id", sa.String(length=64), nullable=True),
        sa.Column("pod", sa.Integer(), nullable=True),
        sa.Column("cell", sa.Integer(), nullable=True),
        sa.Column("reason", sa.String(length=200), nullable=True),
        sa.CheckConstraint(
            "kind <> 'adjust' OR reason IS NOT NULL", name=op.f("ck_movement_reason")
        ),
        sa.CheckConstraint(
            "kind IN ('pod-moved', 'count') OR lot IS NOT NULL", name=op.f("ck_movement_lot")
        ),
        sa.CheckConstraint(
            "kind IN ('receive', 'stow', 'pick', 'ship', 'adjust', 'reserve', 'release', "
            "'pod-moved', 'count')",
            name=op.f("ck_movement_kind"),
        ),
        sa.CheckConstraint(
            "quantity > 0 OR kind IN ('adjust', 'pod-moved', 'count')",
            name=op.f("ck_movement_quantity"),
        ),
        sa.ForeignKeyConstraint(["bin"], ["bin.id"], name=op.f("fk_movement_bin")),
        sa.ForeignKeyConstraint(["key"], ["reply.key"], name=op.f("fk_movement_key")),
        sa.ForeignKeyConstraint(["lot"], ["lot.id"], name=op.f("fk_movement_lot")),
        sa.ForeignKeyConstraint(["pallet"], ["pallet.id"], name=op.f("fk_movement_pallet")),
        sa.ForeignKeyConstraint(["pod"], ["pod.id"], name=op.f("fk_movement_pod")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_movement")),
        sa.UniqueConstraint("key", "line", name=op.f("uq_movement_key_line")),
    )
    op.create_index(op.f("ix_movement_lot"), "movement", ["lot"], unique=False)
    op.create_index(
        op.f("ix_movement_order_id"),
        "movement",
        ["order_id"],
        unique=False,
        sqlite_where=sa.text("order_id IS NOT NULL"),
        postgresql_where=sa.text("order_id IS NOT NULL"),
    )
    op.create_table(
        "pallet_stock",
        sa.Column("pallet", sa.String(length=64), nullable=False),
        sa.Column("sku", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("lot", sa.Integer(), nullable=False),
        sa.Column("received", sa.BigInteger(), nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "quantity > 0 AND quantity <= received", name=op.f("ck_pallet_stock_quantity")
        ),
        sa.ForeignKeyConstraint(["lot"], ["lot.id"], name=op.f("fk_pallet_stock_lot")),
        sa.ForeignKeyConstraint(["pallet"], ["pallet.id"], name=op.f("fk_pallet_stock_pallet")),
        sa.ForeignKeyConstraint(["sku"], ["sku.id"], name=op.f("fk_pallet_stock_sku")),
        sa.PrimaryKeyConstraint("pallet", "sku", name=op.f("pk_pallet_stock")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_pallet_stock_sku"), "pallet_stock", ["sku"], unique=False)
    op.create_table(
        "stock",
        sa.Column("bin", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("sku", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("lot", sa.Integer(), nullable=False),
        sa.Column("on_hand", sa.BigInteger(), nullable=False),
        sa.Column("reserved", sa.BigInteger(), server_default="0", nullable=False),
        sa.CheckConstraint("on_hand > 0", name=op.f("ck_stock_on_hand")),
        sa.CheckConstraint("reserved >= 0 AND reserved <= on_hand", name=op.f("ck_stock_reserved")),
        sa.ForeignKeyConstraint(["bin"], ["bin.id"], name=op.f("fk_stock_bin")),
        sa.ForeignKeyConstraint(["lot"], ["lot.id"], name=op.f("fk_stock_lot")),
        sa.ForeignKeyConstraint(["sku"], ["sku.id"], name=op.f("fk_stock_sku")),
        sa.PrimaryKeyConstraint("bin", "sku", name=op.f("pk_stock")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_stock_sku_bin"), "stock", ["sku", "bin"], unique=False)
    op.create_table(
        "tote_stock",
        sa.Column("order_id", sa.String(length=64), nullable=False),
        sa.Column("lot", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("quantity > 0", name=op.f("ck_tote_stock_quantity")),
        sa.ForeignKeyConstraint(["lot"], ["lot.id"], name=op.f("fk_tote_stock_lot")),
        sa.PrimaryKeyConstraint("order_id", "lot", name=op.f("pk_tote_stock")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_tote_stock_lot"), "tote_stock", ["lot"], unique=False)
    op.create_table(
        "reservation",
        sa.Column("order_id", sa.String(length=64), nullable=False),
        sa.Column("bin", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("sku", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("quantity > 0", name=op.f("ck_reservation_quantity")),
        sa.ForeignKeyConstraint(
            ["bin", "sku"], ["stock.bin", "stock.sku"], name=op.f("fk_reservation_bin_sku")
        ),
        sa.PrimaryKeyConstraint("order_id", "bin", "sku", name=op.f("pk_reservation")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_reservation_bin_sku"), "reservation", ["bin", "sku"], unique=False)
    for table in ("movement", "reply"):
        for statement in GUARDS[op.get_bind().dialect.name]:
            op.execute(statement.format(table))
