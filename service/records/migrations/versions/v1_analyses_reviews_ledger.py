"""Version 1: analyses, reviews, ledger."""

import sqlalchemy as sa
from alembic import op

revision = "1"
down_revision = None

_SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make the three tables."""
    op.create_table(
        "analyses",
        sa.Column("number", _SERIAL, primary_key=True),
        sa.Column("id", sa.Text(), nullable=False, unique=True),
        sa.Column("time", _TIME, nullable=False),
        *(
            sa.Column(name, sa.Text(), nullable=False)
            for name in (
                *("request_id", "source", "caller"),
                *("model_name", "model_version", "model_sha256", "engine", "precision"),
            )
        ),
        sa.Column("score", sa.Double(), nullable=False),
        sa.Column("p_value", sa.Double(), nullable=False),
        sa.Column("threshold", sa.Double(), nullable=False),
        sa.Column("decision", sa.Text(), nullable=False),
        sa.Column("ood_score", sa.Double()),
        sa.Column("warnings", sa.JSON(), nullable=False),
        sa.Column("image_rows", sa.Integer(), nullable=False),
        sa.Column("image_columns", sa.Integer(), nullable=False),
        sa.Column("bits", sa.Integer(), nullable=False),
        *(
            sa.Column(name, sa.Text())
            for name in ("manufacturer", "device", "view", "age_band", "sex")
        ),
        *(sa.Column(name, sa.Text()) for name in ("instance_hash", "study_hash", "patient_hash")),
        *(
            sa.Column(name, sa.Double(), nullable=False)
            for name in ("brightness", "contrast", "sharpness")
        ),
        sa.Column("image_sha256", sa.Text()),
        sa.Column("map_sha256", sa.Text()),
    )
    op.create_index("ix_analyses_time", "analyses", ["time"])
    op.create_index("ix_analyses_unusual", "analyses", ["p_value", "score", "number"])
    op.create_index("ix_analyses_study_hash", "analyses", ["study_hash"])
    op.create_table(
        "reviews",
        sa.Column(
            "analysis_id",
            sa.Text(),
            sa.ForeignKey("analyses.id", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column("revision", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("reviewer", sa.Text(), nullable=False),
        sa.Column("time", _TIME, nullable=False),
    )
    op.create_table(
        "ledger",
        sa.Column("number", _SERIAL, primary_key=True, autoincrement=False),
        sa.Column("time", _TIME, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("covers", sa.JSON()),
        sa.Column("link", sa.Text(), nullable=False),
    )
    op.create_index("ix_ledger_subject", "ledger", ["subject"])


def downgrade() -> None:
    """Drop the three tables."""
    for table in ("ledger", "reviews", "analyses"):
        op.drop_table(table)
