"""credit: applications are found by when they were written down."""

from alembic import op

revision = "credit_0006"
down_revision = "credit_0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Index applications by time."""
    op.execute("CREATE INDEX application_by_time ON credit.application (drafted_at)")


def downgrade() -> None:
    """Drop the index."""
    op.execute("DROP INDEX credit.application_by_time")
