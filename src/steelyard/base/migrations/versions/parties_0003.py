"""parties: keys of machines whose signing half we never see (Ed25519)."""

from alembic import op

revision = "parties_0003"
down_revision = "parties_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Let a key have public keys where others have secrets."""
    op.execute("""
ALTER TABLE parties.api_key DROP CONSTRAINT api_key_kind_check,
    ADD CONSTRAINT api_key_kind_check CHECK (kind IN ('signed', 'ed25519', 'development'));
ALTER TABLE parties.api_secret ADD COLUMN public bytea CHECK (octet_length(public) = 32),
    DROP CONSTRAINT api_secret_check,
    ADD CONSTRAINT api_secret_check CHECK (num_nonnulls(sealed, hash, public) = 1);
COMMENT ON COLUMN parties.api_secret.public IS
    'public half of a pair whose private half its owner alone has (RFC 8032)';
""")


def downgrade() -> None:
    """Take that back; keys of the kind are lost."""
    op.execute("""
DELETE FROM parties.api_secret WHERE public IS NOT NULL;
UPDATE parties.api_key SET kind = 'signed', revoked_wall_at = coalesce(revoked_wall_at, now())
    WHERE kind = 'ed25519';
ALTER TABLE parties.api_secret DROP CONSTRAINT api_secret_check, DROP COLUMN public,
    ADD CONSTRAINT api_secret_check CHECK ((sealed IS NULL) <> (hash IS NULL));
ALTER TABLE parties.api_key DROP CONSTRAINT api_key_kind_check,
    ADD CONSTRAINT api_key_kind_check CHECK (kind IN ('signed', 'development'));
""")
