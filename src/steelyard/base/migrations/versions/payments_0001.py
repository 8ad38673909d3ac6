"""payments: the institution's books, merchants, orders, attempts and the evidence about them."""

from alembic import op

revision = "payments_0001"
down_revision = None
branch_labels = ("payments",)
depends_on = "decisions_0005"

_HOUSE = """
CREATE SCHEMA payments;
GRANT USAGE ON SCHEMA payments TO steelyard_app;

CREATE TABLE payments.institution (
    mode text PRIMARY KEY CHECK (mode IN ('live', 'sandbox')),
    client_book text NOT NULL UNIQUE,
    own_book text NOT NULL CHECK (own_book <> client_book),
    timezone text NOT NULL,
    opened_at timestamptz NOT NULL
);
COMMENT ON TABLE payments.institution IS 'in which books the money of a mode stands';
GRANT SELECT, INSERT ON payments.institution TO steelyard_app;

CREATE TABLE payments.merchant (
    id uuid PRIMARY KEY,
    state text NOT NULL CHECK (state IN ('applied', 'review', 'active', 'suspended', 'closed',
        'rejected')),
    version integer NOT NULL DEFAULT 1 CHECK (version > 0),
    name text NOT NULL,
    industry text,
    risk_grade text NOT NULL DEFAULT 'C' CHECK (risk_grade IN ('A', 'B', 'C', 'D')),
    currencies text[] NOT NULL,
    methods text[] NOT NULL,
    contract jsonb NOT NULL DEFAULT '{}',
    decision uuid,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
COMMENT ON TABLE payments.merchant IS
    'the contract side of a party that is a merchant; who it is stands in parties';
GRANT SELECT, INSERT, UPDATE ON payments.merchant TO steelyard_app;
"""

_ORDER = """
CREATE TABLE payments.order (
    id uuid PRIMARY KEY,
    merchant uuid NOT NULL,
    app text NOT NULL,
    mode text NOT NULL CHECK (mode IN ('live', 'sandbox')),
    order_no text NOT NULL,
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    subject text NOT NULL,
    scenario text NOT NULL,
    capture text NOT NULL CHECK (capture IN ('automatic', 'manual')),
    methods text[] NOT NULL,
    customer uuid,
    payer jsonb NOT NULL,
    state text NOT NULL CHECK (state IN ('created', 'open', 'requires_action', 'processing',
        'authorized', 'partially_captured', 'succeeded', 'failed', 'cancelled', 'expiring',
        'expired')),
    version integer NOT NULL DEFAULT 1 CHECK (version > 0),
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    return_url text,
    notify_url text,
    late_success text NOT NULL CHECK (late_success IN ('refund', 'revive')),
    most_attempts smallint NOT NULL CHECK (most_attempts > 0),
    splits jsonb NOT NULL DEFAULT '{}',
    metadata jsonb NOT NULL DEFAULT '{}',
    attempts smallint NOT NULL DEFAULT 0,
    paid_by uuid,
    paid_at timestamptz,
    authorized_minor bigint NOT NULL DEFAULT 0,
    captured_minor bigint NOT NULL DEFAULT 0,
    refund_reserved_minor bigint NOT NULL DEFAULT 0 CHECK (refund_reserved_minor >= 0),
    refunded_minor bigint NOT NULL DEFAULT 0 CHECK (refunded_minor >= 0),
    disputed_minor bigint NOT NULL DEFAULT 0 CHECK (disputed_minor >= 0),
    is_cancelling boolean NOT NULL DEFAULT false,
    UNIQUE (merchant, mode, order_no),
    CHECK (refund_reserved_minor + refunded_minor + disputed_minor <= captured_minor),
    CHECK (captured_minor <= amount_minor),
    CHECK ((paid_by IS NULL) = (paid_at IS NULL))
) WITH (fillfactor = 70);
COMMENT ON TABLE payments.order IS 'what a merchant asks a payer for';
COMMENT ON COLUMN payments.order.order_no IS 'the merchant''s own; never used twice';
COMMENT ON COLUMN payments.order.paid_by IS 'the attempt whose money it has';
CREATE INDEX order_by_expiry ON payments.order (expires_at)
    WHERE state IN ('created', 'open', 'requires_action', 'processing', 'expiring');
CREATE INDEX order_by_time ON payments.order (merchant, created_at);
CREATE INDEX order_by_customer ON payments.order (customer, created_at)
    WHERE customer IS NOT NULL;
CREATE INDEX order_newest ON payments.order (created_at);
GRANT SELECT, INSERT, UPDATE ON payments.order TO steelyard_app;

CREATE TABLE payments.attempt (
    id uuid PRIMARY KEY,
    order_id uuid NOT NULL REFERENCES payments.order,
    no smallint NOT NULL CHECK (no > 0),
    channel text NOT NULL,
    method text NOT NULL,
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    currency text NOT NULL,
    state text NOT NULL CHECK (state IN ('init', 'sent', 'pending_user', 'pending', 'unknown',
        'authorized', 'succeeded', 'declined', 'closed', 'reversed', 'duplicate', 'late',
        'integrity_hold')),
    version integer NOT NULL DEFAULT 1 CHECK (version > 0),
    sent_at timestamptz NOT NULL,
    cause text NOT NULL,
    decision uuid,
    instrument text,
    reference text,
    decline text,
    code text,
    action jsonb,
    fee_minor bigint,
    queries smallint NOT NULL DEFAULT 0,
    next_query_at timestamptz,
    visibility_seconds integer NOT NULL DEFAULT 60,
    is_reversing boolean NOT NULL DEFAULT false,
    final_at timestamptz,
    propensity double precision CHECK (propensity > 0 AND propensity <= 1),
    details jsonb NOT NULL DEFAULT '{}',
    UNIQUE (order_id, no)
) WITH (fillfactor = 70);
COMMENT ON TABLE payments.attempt IS 'one try to pay an order; its id is the number outside';
COMMENT ON COLUMN payments.attempt.propensity IS
    'with which probability the routing chose the channel';
CREATE UNIQUE INDEX attempt_paying ON payments.attempt (order_id)
    WHERE state IN ('authorized', 'succeeded');
CREATE INDEX attempt_by_query ON payments.attempt (next_query_at)
    WHERE next_query_at IS NOT NULL;
CREATE INDEX attempt_by_channel ON payments.attempt (channel, sent_at);
CREATE INDEX attempt_unknown ON payments.attempt (channel)
    WHERE state IN ('sent', 'pending_user', 'pending', 'unknown');
GRANT SELECT, INSERT, UPDATE ON payments.attempt TO steelyard_app;

CREATE TABLE payments.evidence (
    seq bigint GENERATED ALWAYS AS IDENTITY,
    id uuid PRIMARY KEY,
    about uuid NOT NULL,
    of_refund boolean NOT NULL,
    source text NOT NULL CHECK (source IN ('answer', 'notice', 'query', 'statement', 'operator')),
    said text NOT NULL,
    finding jsonb NOT NULL,
    note text NOT NULL,
    is_new boolean NOT NULL,
    actor text NOT NULL,
    seen_at timestamptz NOT NULL
);
COMMENT ON TABLE payments.evidence IS
    'what was learnt about an attempt or a refund, whether or not anything followed from it';
CREATE INDEX evidence_about ON payments.evidence (about, seq);
GRANT SELECT, INSERT ON payments.evidence TO steelyard_app;

CREATE TABLE payments.follow_up (
    id uuid PRIMARY KEY,
    attempt uuid NOT NULL REFERENCES payments.attempt,
    kind text NOT NULL CHECK (kind IN ('refund_duplicate', 'refund_late', 'close_at_channel',
        'alarm_integrity')),
    asked_at timestamptz NOT NULL,
    done_at timestamptz,
    UNIQUE (attempt, kind)
);
COMMENT ON TABLE payments.follow_up IS 'what a ruling left to be done, each once';
CREATE INDEX follow_up_open ON payments.follow_up (asked_at) WHERE done_at IS NULL;
GRANT SELECT, INSERT, UPDATE ON payments.follow_up TO steelyard_app;
"""


def upgrade() -> None:
    """Create the core tables."""
    op.execute(_HOUSE)
    op.execute(_ORDER)


def downgrade() -> None:
    """Drop them."""
    op.execute("DROP SCHEMA payments CASCADE")
