"""credit: loans, their events, standing and instalments."""

revision = "credit_0001"
down_revision = None
branch_labels = ("credit",)
depends_on = "decisions_0005"


def upgrade() -> None:
    """Nothing yet."""


def downgrade() -> None:
    """Nothing to take back."""
