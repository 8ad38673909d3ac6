"""payments: what other rooms move between a book of their own and an account of the clients'."""

from alembic import op

revision = "payments_0012"
down_revision = "payments_0011"
branch_labels = None
depends_on = None

_MOVEMENT = """
CREATE TABLE payments.movement (
    id uuid PRIMARY KEY,
    number bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    kind text NOT NULL CHECK (kind IN ('pay_out', 'debit', 'deposit')),
    book text NOT NULL CHECK (book <> ''),
    account text NOT NULL CHECK (account <> ''),
    own_book text NOT NULL CHECK (own_book <> book),
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    cause text NOT NULL CHECK (cause LIKE '%@%'),
    decision uuid,
    about text NOT NULL CHECK (about LIKE '%:%'),
    actor text NOT NULL,
    moved_at timestamptz NOT NULL
);
COMMENT ON TABLE payments.movement IS
    'money of ours paid to a client''s account, or taken from it; the ledger has its transfer';
COMMENT ON COLUMN payments.movement.id IS 'of the transfer in the client book';
COMMENT ON COLUMN payments.movement.about IS 'what it is for, as its room names it';
CREATE INDEX movement_by_account ON payments.movement (book, account, number);
CREATE INDEX movement_by_matter ON payments.movement (about);
GRANT SELECT, INSERT ON payments.movement TO steelyard_app;
CREATE TRIGGER movement_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON payments.movement
    FOR EACH STATEMENT EXECUTE FUNCTION base.refuse_change();
"""


def upgrade() -> None:
    """Create the table."""
    op.execute(_MOVEMENT)


def downgrade() -> None:
    """Drop it."""
    op.execute("DROP TABLE payments.movement")
