"""parties: keys that are shown as bearers, for clients that cannot sign."""

from alembic import op

revision = "parties_0004"
down_revision = "parties_0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Let there be such keys."""
    op.execute("""
ALTER TABLE parties.api_key DROP CONSTRAINT api_key_kind_check,
    ADD CONSTRAINT api_key_kind_check
        CHECK (kind IN ('signed', 'ed25519', 'bearer', 'development'));
""")


def downgrade() -> None:
    """Take that back; keys of the kind are revoked."""
    op.execute("""
UPDATE parties.api_key SET kind = 'signed', revoked_wall_at = coalesce(revoked_wall_at, now())
    WHERE kind = 'bearer';
ALTER TABLE parties.api_key DROP CONSTRAINT api_key_kind_check,
    ADD CONSTRAINT api_key_kind_check CHECK (kind IN ('signed', 'ed25519', 'development'));
""")
