"""payments: limits and their use, degraded mode, what monitoring of merchants saw."""

from alembic import op

revision = "payments_0010"
down_revision = "payments_0009"
branch_labels = None
depends_on = None

_LIMITS = """
CREATE TABLE payments.limit_rule (
    id uuid PRIMARY KEY,
    line text NOT NULL CHECK (line <> ''),
    version integer NOT NULL CHECK (version > 0),
    mode text NOT NULL CHECK (mode IN ('live', 'sandbox')),
    scope text NOT NULL CHECK (scope IN ('channel', 'merchant', 'customer', 'scenario')),
    whose text NOT NULL CHECK (whose <> ''),
    scenario text NOT NULL,
    method text NOT NULL,
    period text NOT NULL CHECK (period IN ('single', 'day', 'month')),
    currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    most_minor bigint CHECK (most_minor >= 0),
    most_payments integer CHECK (most_payments >= 0),
    from_on date NOT NULL,
    state text NOT NULL CHECK (state IN ('drafted', 'approved', 'withdrawn')),
    made_by text NOT NULL CHECK (made_by <> ''),
    made_at timestamptz NOT NULL,
    approval uuid,
    cause text,
    decided_at timestamptz,
    UNIQUE (line, version),
    CHECK (period <> 'single' OR most_payments IS NULL),
    CHECK ((state = 'drafted') = (decided_at IS NULL)),
    CHECK ((state = 'approved') = (cause IS NOT NULL))
);
COMMENT ON TABLE payments.limit_rule IS
    'how much may be paid, from a day on; a version never changes what it says';
COMMENT ON COLUMN payments.limit_rule.line IS
    'what it limits; of the approved versions of a line the one that began last holds';
COMMENT ON COLUMN payments.limit_rule.whose IS '* is each that has no line of its own';
COMMENT ON COLUMN payments.limit_rule.most_minor IS
    'null with a null count: the line is limited no more';
CREATE INDEX limit_rule_in_force ON payments.limit_rule (whose, from_on)
    WHERE state = 'approved';
GRANT SELECT, INSERT ON payments.limit_rule TO steelyard_app;
GRANT UPDATE (state, approval, cause, decided_at) ON payments.limit_rule TO steelyard_app;

CREATE TABLE payments.limit_usage (
    key text PRIMARY KEY,
    line text NOT NULL,
    whose text NOT NULL,
    begins_on date NOT NULL,
    amount_minor bigint NOT NULL DEFAULT 0 CHECK (amount_minor >= 0),
    payments integer NOT NULL DEFAULT 0 CHECK (payments >= 0)
) WITH (fillfactor = 70);
COMMENT ON TABLE payments.limit_usage IS
    'what was taken of a line by one of those whom it limits, in the day or month that began';
CREATE INDEX limit_usage_by_day ON payments.limit_usage (begins_on);
GRANT SELECT, INSERT, UPDATE ON payments.limit_usage TO steelyard_app;

CREATE TABLE payments.limit_take (
    attempt uuid PRIMARY KEY,
    keys text[] NOT NULL,
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    taken_at timestamptz NOT NULL,
    given_back_at timestamptz
);
COMMENT ON TABLE payments.limit_take IS
    'what an attempt took of limits; given back where it was declined or closed without money';
GRANT SELECT, INSERT ON payments.limit_take TO steelyard_app;
GRANT UPDATE (given_back_at) ON payments.limit_take TO steelyard_app;
"""

_DEGRADED = """
CREATE TABLE payments.degraded_setting (
    version integer PRIMARY KEY CHECK (version > 0),
    is_on boolean NOT NULL,
    currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    most_minor bigint NOT NULL CHECK (most_minor >= 0),
    customer_payments integer NOT NULL CHECK (customer_payments >= 0),
    customer_minor bigint NOT NULL CHECK (customer_minor >= 0),
    sum_minor bigint NOT NULL CHECK (sum_minor >= 0),
    known_payments integer NOT NULL CHECK (known_payments > 0),
    made_by text NOT NULL CHECK (made_by <> ''),
    made_at timestamptz NOT NULL,
    approval uuid NOT NULL,
    cause text NOT NULL CHECK (cause <> '')
);
COMMENT ON TABLE payments.degraded_setting IS
    'what may be paid while nobody decides; the newest version holds';
GRANT SELECT, INSERT ON payments.degraded_setting TO steelyard_app;

CREATE TABLE payments.degraded_state (
    why text PRIMARY KEY CHECK (why IN ('owner_is_away', 'sender_is_slow')),
    is_on boolean NOT NULL,
    version integer NOT NULL CHECK (version > 0),
    since timestamptz NOT NULL
);
COMMENT ON TABLE payments.degraded_state IS 'whether payments pass by the small rule now';
GRANT SELECT, INSERT, UPDATE ON payments.degraded_state TO steelyard_app;

CREATE TABLE payments.degraded_pass (
    attempt uuid PRIMARY KEY,
    why text NOT NULL CHECK (why IN ('owner_is_away', 'sender_is_slow')),
    customer uuid NOT NULL,
    merchant uuid NOT NULL,
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    currency text NOT NULL,
    facts jsonb NOT NULL,
    passed_at timestamptz NOT NULL,
    state text NOT NULL CHECK (state IN ('passed', 'agreed', 'disagreed', 'unused')),
    judged_at timestamptz,
    outcome text,
    reasons text[],
    decision uuid,
    case_id uuid,
    CHECK ((state = 'passed') = (judged_at IS NULL))
);
COMMENT ON TABLE payments.degraded_pass IS
    'payments that passed while nobody decided, and what was decided of them afterwards';
CREATE INDEX degraded_pass_open ON payments.degraded_pass (passed_at) WHERE state = 'passed';
CREATE INDEX degraded_pass_by_time ON payments.degraded_pass (passed_at);
GRANT SELECT, INSERT ON payments.degraded_pass TO steelyard_app;
GRANT UPDATE (state, judged_at, outcome, reasons, decision, case_id)
    ON payments.degraded_pass TO steelyard_app;
"""

_MONITORING = """
CREATE TABLE payments.merchant_figure (
    merchant uuid NOT NULL,
    mode text NOT NULL CHECK (mode IN ('live', 'sandbox')),
    currency text NOT NULL,
    on_day date NOT NULL,
    industry text NOT NULL,
    attempts integer NOT NULL,
    declined integer NOT NULL,
    paid integer NOT NULL,
    paid_minor bigint NOT NULL,
    night integer NOT NULL,
    refunded integer NOT NULL,
    disputed integer NOT NULL,
    cards_per_device integer NOT NULL,
    PRIMARY KEY (merchant, mode, currency, on_day)
);
COMMENT ON TABLE payments.merchant_figure IS
    'a day of a merchant in counts, by the clock of the institution';
COMMENT ON COLUMN payments.merchant_figure.cards_per_device IS
    'most different cards that one device paid with';
CREATE INDEX merchant_figure_by_industry ON payments.merchant_figure (industry, on_day);
GRANT SELECT, INSERT, UPDATE ON payments.merchant_figure TO steelyard_app;

CREATE TABLE payments.merchant_alert (
    id uuid PRIMARY KEY,
    merchant uuid NOT NULL,
    mode text NOT NULL CHECK (mode IN ('live', 'sandbox')),
    currency text NOT NULL,
    rule text NOT NULL,
    level text NOT NULL CHECK (level IN ('watch', 'act')),
    state text NOT NULL CHECK (state IN ('open', 'ended')),
    version integer NOT NULL DEFAULT 1 CHECK (version > 0),
    value double precision NOT NULL,
    own double precision,
    industry double precision,
    quiet smallint NOT NULL DEFAULT 0,
    case_id uuid,
    done text[] NOT NULL,
    opened_at timestamptz NOT NULL,
    seen_at timestamptz NOT NULL,
    ended_at timestamptz,
    CHECK ((state = 'ended') = (ended_at IS NOT NULL))
);
COMMENT ON TABLE payments.merchant_alert IS 'what monitoring found out of the way of a merchant';
COMMENT ON COLUMN payments.merchant_alert.quiet IS
    'looks in a row that were below the lower mark; enough of them end it';
CREATE UNIQUE INDEX merchant_alert_open ON payments.merchant_alert
    (merchant, mode, currency, rule) WHERE state = 'open';
CREATE INDEX merchant_alert_by_time ON payments.merchant_alert (opened_at);
GRANT SELECT, INSERT ON payments.merchant_alert TO steelyard_app;
GRANT UPDATE (level, state, version, value, own, industry, quiet, case_id, done, seen_at, ended_at)
    ON payments.merchant_alert TO steelyard_app;
"""


def upgrade() -> None:
    """Create the tables."""
    for part in (_LIMITS, _DEGRADED, _MONITORING):
        op.execute(part)


def downgrade() -> None:
    """Drop them."""
    for name in (
        "merchant_alert",
        "merchant_figure",
        "degraded_pass",
        "degraded_state",
        "degraded_setting",
        "limit_take",
        "limit_usage",
        "limit_rule",
    ):
        op.execute(f"DROP TABLE payments.{name}")
