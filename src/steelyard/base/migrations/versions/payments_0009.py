"""payments: the cashier, bound cards, the facade's customers and payment methods."""

from alembic import op

revision = "payments_0009"
down_revision = "payments_0008"
branch_labels = None
depends_on = None


_FACADE = """
CREATE TABLE payments.facade_customer (
    id uuid PRIMARY KEY,
    merchant uuid NOT NULL,
    mode text NOT NULL CHECK (mode IN ('live', 'sandbox')),
    sealed bytea,
    email_index bytea CHECK (octet_length(email_index) = 32),
    default_method uuid,
    metadata jsonb NOT NULL DEFAULT '{}',
    is_deleted boolean NOT NULL DEFAULT false,
    version integer NOT NULL DEFAULT 1 CHECK (version > 0),
    created_at timestamptz NOT NULL,
    CHECK (NOT is_deleted OR (sealed IS NULL AND email_index IS NULL))
);
COMMENT ON TABLE payments.facade_customer IS
    'customers as merchants know them through the Stripe-compatible API; no parties of ours';
COMMENT ON COLUMN payments.facade_customer.sealed IS 'name and address data; deletion destroys it';
CREATE INDEX facade_customer_newest
    ON payments.facade_customer (merchant, mode, created_at DESC, id DESC);
GRANT SELECT, INSERT, UPDATE ON payments.facade_customer TO steelyard_app;

CREATE TABLE payments.facade_method (
    id uuid PRIMARY KEY,
    merchant uuid NOT NULL,
    mode text NOT NULL CHECK (mode IN ('live', 'sandbox')),
    customer uuid REFERENCES payments.facade_customer,
    type text NOT NULL CHECK (type IN ('card', 'alipay', 'wechat_pay')),
    token text,
    brand text,
    last4 text CHECK (last4 ~ '^[0-9]{4}$'),
    exp_month smallint CHECK (exp_month BETWEEN 1 AND 12),
    exp_year smallint CHECK (exp_year BETWEEN 2000 AND 2099),
    funding text,
    country text,
    fingerprint text,
    metadata jsonb NOT NULL DEFAULT '{}',
    is_detached boolean NOT NULL DEFAULT false,
    version integer NOT NULL DEFAULT 1 CHECK (version > 0),
    created_at timestamptz NOT NULL,
    CHECK ((type = 'card') = (token IS NOT NULL))
);
COMMENT ON TABLE payments.facade_method IS
    'what a payer pays with: a token and what may be shown of a card; never its number';
CREATE INDEX facade_method_newest
    ON payments.facade_method (merchant, mode, created_at DESC, id DESC);
CREATE INDEX facade_method_by_customer ON payments.facade_method (customer)
    WHERE customer IS NOT NULL;
GRANT SELECT, INSERT, UPDATE ON payments.facade_method TO steelyard_app;

CREATE TABLE payments.facade_setup (
    id uuid PRIMARY KEY,
    merchant uuid NOT NULL,
    mode text NOT NULL CHECK (mode IN ('live', 'sandbox')),
    customer uuid REFERENCES payments.facade_customer,
    method uuid REFERENCES payments.facade_method,
    state text NOT NULL CHECK (state IN ('requires_payment_method', 'requires_confirmation',
        'succeeded', 'canceled')),
    usage text NOT NULL CHECK (usage IN ('off_session', 'on_session')),
    description text,
    cancellation_reason text,
    metadata jsonb NOT NULL DEFAULT '{}',
    version integer NOT NULL DEFAULT 1 CHECK (version > 0),
    created_at timestamptz NOT NULL
);
COMMENT ON TABLE payments.facade_setup IS 'a payer lets a merchant keep what he pays with';
CREATE INDEX facade_setup_newest
    ON payments.facade_setup (merchant, mode, created_at DESC, id DESC);
GRANT SELECT, INSERT, UPDATE ON payments.facade_setup TO steelyard_app;

CREATE TABLE payments.facade_note (
    about text PRIMARY KEY CHECK (about ~ '^[a-z]+_[0-9A-Za-z]+$'),
    merchant uuid NOT NULL,
    metadata jsonb,
    details jsonb NOT NULL DEFAULT '{}',
    version integer NOT NULL DEFAULT 1 CHECK (version > 0)
);
COMMENT ON TABLE payments.facade_note IS
    'what a client of the Stripe-compatible API keeps with an object, and the core has no use for';
COMMENT ON COLUMN payments.facade_note.metadata IS 'NULL: as the object has it itself';
GRANT SELECT, INSERT, UPDATE ON payments.facade_note TO steelyard_app;
"""

_NO_FACADE = """
DROP TABLE payments.facade_note, payments.facade_setup, payments.facade_method,
    payments.facade_customer;
"""


def upgrade() -> None:
    """Create the tables."""
    op.execute(_FACADE)


def downgrade() -> None:
    """Drop them."""
    op.execute(_NO_FACADE)
