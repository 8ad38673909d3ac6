"""decisions: to be written."""

revision = "decisions_0004"
down_revision = "decisions_0003"
branch_labels = None
depends_on = None


def upgrade() -> None: ...
