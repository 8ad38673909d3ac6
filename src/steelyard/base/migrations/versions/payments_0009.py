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

_CASHIER = """
CREATE TABLE payments.capture (
    id uuid PRIMARY KEY,
    request uuid NOT NULL UNIQUE,
    order_id uuid NOT NULL REFERENCES payments.order,
    attempt uuid NOT NULL REFERENCES payments.attempt,
    no smallint NOT NULL CHECK (no > 0),
    kind text NOT NULL CHECK (kind IN ('capture', 'release')),
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    is_last boolean NOT NULL,
    is_by_clock boolean NOT NULL,
    state text NOT NULL CHECK (state IN ('sent', 'unknown', 'succeeded', 'declined', 'held')),
    version integer NOT NULL DEFAULT 1 CHECK (version > 0),
    sent_at timestamptz NOT NULL,
    queries smallint NOT NULL DEFAULT 0,
    next_query_at timestamptz,
    reference text,
    code text,
    final_at timestamptz,
    actor text NOT NULL,
    UNIQUE (attempt, no)
);
COMMENT ON TABLE payments.capture IS
    'what is taken of an authorization, or that the rest is let go; id is the number outside';
CREATE UNIQUE INDEX capture_under_way ON payments.capture (order_id)
    WHERE state IN ('sent', 'unknown', 'held');
CREATE INDEX capture_by_query ON payments.capture (next_query_at)
    WHERE next_query_at IS NOT NULL;
CREATE INDEX order_authorized ON payments.order (paid_at)
    WHERE state IN ('authorized', 'partially_captured');
GRANT SELECT, INSERT, UPDATE ON payments.capture TO steelyard_app;

CREATE TABLE payments.binding (
    id uuid PRIMARY KEY,
    customer uuid NOT NULL,
    token text NOT NULL UNIQUE CHECK (token ~ '^qp_[0-9a-f]{32}$'),
    state text NOT NULL CHECK (state IN ('verifying', 'code_needed', 'active', 'refused',
        'unbound')),
    version integer NOT NULL DEFAULT 1 CHECK (version > 0),
    bank text NOT NULL,
    bin text NOT NULL CHECK (bin ~ '^[0-9]{6}$'),
    last4 text NOT NULL CHECK (last4 ~ '^[0-9]{4}$'),
    phone bytea NOT NULL,
    card_token text,
    reason text,
    created_at timestamptz NOT NULL,
    bound_at timestamptz,
    ended_at timestamptz,
    CHECK ((state = 'active') <= (card_token IS NOT NULL AND bound_at IS NOT NULL))
);
COMMENT ON TABLE payments.binding IS
    'a card bound for quick pay: what may be shown of it, and the token it is paid with';
COMMENT ON COLUMN payments.binding.phone IS 'sealed: the phone that the bank knows';
COMMENT ON COLUMN payments.binding.card_token IS 'the verifier''s word for the card; no number';
CREATE INDEX binding_by_customer ON payments.binding (customer, created_at);
GRANT SELECT, INSERT, UPDATE ON payments.binding TO steelyard_app;

CREATE TABLE payments.challenge (
    about uuid PRIMARY KEY,
    purpose text NOT NULL CHECK (purpose IN ('pay', 'bind')),
    code_hash bytea CHECK (octet_length(code_hash) = 32),
    tries smallint NOT NULL DEFAULT 0,
    sends smallint NOT NULL DEFAULT 0,
    sent_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    proved_at timestamptz
);
COMMENT ON TABLE payments.challenge IS
    'a one-time code for an attempt or a binding; only a keyed hash of it is kept';
GRANT SELECT, INSERT, UPDATE ON payments.challenge TO steelyard_app;

CREATE TABLE payments.cashier_page (
    token_hash bytea PRIMARY KEY CHECK (octet_length(token_hash) = 32),
    order_id uuid NOT NULL UNIQUE REFERENCES payments.order,
    opened_at timestamptz NOT NULL
);
COMMENT ON TABLE payments.cashier_page IS
    'the address under which a payer finds an order; whoever has it may pay, and sees no person';
GRANT SELECT, INSERT ON payments.cashier_page TO steelyard_app;

CREATE TABLE payments.corporate_person (
    company uuid NOT NULL,
    person text NOT NULL CHECK (person <> ''),
    may_make boolean NOT NULL,
    may_check boolean NOT NULL,
    currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    single_minor bigint NOT NULL CHECK (single_minor >= 0),
    day_minor bigint NOT NULL CHECK (day_minor >= 0),
    version integer NOT NULL DEFAULT 1 CHECK (version > 0),
    changed_at timestamptz NOT NULL,
    PRIMARY KEY (company, person, currency)
);
COMMENT ON TABLE payments.corporate_person IS 'who of a company makes or checks its payments';
GRANT SELECT, INSERT, UPDATE ON payments.corporate_person TO steelyard_app;

CREATE TABLE payments.corporate_step (
    attempt uuid PRIMARY KEY REFERENCES payments.attempt,
    order_id uuid NOT NULL REFERENCES payments.order,
    company uuid NOT NULL,
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    currency text NOT NULL,
    state text NOT NULL CHECK (state IN ('submitted', 'approved', 'rejected')),
    version integer NOT NULL DEFAULT 1 CHECK (version > 0),
    maker text NOT NULL,
    made_at timestamptz NOT NULL,
    checker text,
    checked_at timestamptz,
    reason text,
    CHECK (checker IS NULL OR checker <> maker),
    CHECK ((state = 'submitted') = (checker IS NULL))
);
COMMENT ON TABLE payments.corporate_step IS 'a payment as a company''s maker and checker see it';
CREATE INDEX corporate_step_of_company ON payments.corporate_step (company, made_at);
GRANT SELECT, INSERT, UPDATE ON payments.corporate_step TO steelyard_app;

CREATE TABLE payments.scan_code (
    token text PRIMARY KEY CHECK (token ~ '^[0-9A-Za-z_-]{22}$'),
    merchant uuid NOT NULL,
    app text NOT NULL,
    mode text NOT NULL CHECK (mode IN ('live', 'sandbox')),
    terminal text,
    currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    subject text NOT NULL,
    most_minor bigint NOT NULL CHECK (most_minor > 0),
    is_active boolean NOT NULL DEFAULT true,
    version integer NOT NULL DEFAULT 1 CHECK (version > 0),
    created_at timestamptz NOT NULL
);
COMMENT ON TABLE payments.scan_code IS
    'a code that hangs in a shop: whoever scans it types the amount';
CREATE INDEX scan_code_of_merchant ON payments.scan_code (merchant, created_at);
GRANT SELECT, INSERT, UPDATE ON payments.scan_code TO steelyard_app;

CREATE TABLE payments.pay_code (
    code_hash bytea PRIMARY KEY CHECK (octet_length(code_hash) = 32),
    customer uuid NOT NULL,
    binding uuid NOT NULL REFERENCES payments.binding,
    made_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    used_by uuid,
    used_at timestamptz,
    CHECK ((used_by IS NULL) = (used_at IS NULL))
);
COMMENT ON TABLE payments.pay_code IS
    'a code that a payer shows (付款码): one minute, one payment; only a keyed hash of it is kept';
CREATE INDEX pay_code_by_customer ON payments.pay_code (customer, made_at);
GRANT SELECT, INSERT, UPDATE ON payments.pay_code TO steelyard_app;
"""

_NO_CASHIER = """
DROP TABLE payments.pay_code, payments.scan_code, payments.corporate_step,
    payments.corporate_person, payments.cashier_page, payments.challenge, payments.binding,
    payments.capture;
DROP INDEX payments.order_authorized;
"""


def upgrade() -> None:
    """Create the tables."""
    op.execute(_FACADE)
    op.execute(_CASHIER)


def downgrade() -> None:
    """Drop them."""
    op.execute(_NO_CASHIER)
    op.execute(_NO_FACADE)
