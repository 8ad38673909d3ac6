"""payments: what funding sources of ours lent for payments, and took back with refunds."""

from alembic import op

revision = "payments_0013"
down_revision = "payments_0012"
branch_labels = None
depends_on = None

_FUNDING = """
CREATE TABLE payments.funding (
    number uuid PRIMARY KEY,
    of_refund boolean NOT NULL,
    payment uuid NOT NULL,
    source text NOT NULL,
    reference text NOT NULL,
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    made_at timestamptz NOT NULL,
    CHECK (of_refund OR number = payment)
);
COMMENT ON TABLE payments.funding IS
    'what a funding source lent for a payment, or took back with a refund of it';
COMMENT ON COLUMN payments.funding.number IS 'of the attempt, or of the refund';
COMMENT ON COLUMN payments.funding.reference IS 'what the source knows it by';
CREATE INDEX funding_by_payment ON payments.funding (payment);
GRANT SELECT, INSERT ON payments.funding TO steelyard_app;
CREATE TRIGGER funding_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON payments.funding
    FOR EACH STATEMENT EXECUTE FUNCTION base.refuse_change();
"""


def upgrade() -> None:
    """Create the table."""
    op.execute(_FUNDING)


def downgrade() -> None:
    """Drop it."""
    op.execute("DROP TABLE payments.funding")
