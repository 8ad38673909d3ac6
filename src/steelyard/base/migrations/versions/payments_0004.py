"""payments: channels, their agreements, calendars and health, routing."""

from alembic import op

revision = "payments_0004"
down_revision = "payments_0003"
branch_labels = None
depends_on = None

_LIFE = """
CREATE TABLE payments.channel (
    code text PRIMARY KEY CHECK (code ~ '^[a-z][a-z0-9_]{0,39}$'),
    mode text NOT NULL CHECK (mode IN ('live', 'sandbox')),
    kind text NOT NULL CHECK (kind <> ''),
    name text NOT NULL CHECK (name <> ''),
    stage text NOT NULL CHECK (stage IN ('surveyed', 'agreed', 'tested', 'trial', 'live',
        'handed_over', 'retired')),
    version integer NOT NULL DEFAULT 1 CHECK (version > 0),
    sheet integer NOT NULL DEFAULT 1 CHECK (sheet > 0),
    capability jsonb NOT NULL,
    settings jsonb NOT NULL DEFAULT '{}',
    secrets bytea,
    trial jsonb,
    probe jsonb,
    owner text,
    runbook text,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CHECK (stage <> 'trial' OR trial IS NOT NULL),
    CHECK (stage <> 'handed_over' OR (owner IS NOT NULL AND runbook IS NOT NULL))
);
COMMENT ON TABLE payments.channel IS 'ways in which money is moved outside';
COMMENT ON COLUMN payments.channel.capability IS 'the sheet of its newest version';
COMMENT ON COLUMN payments.channel.secrets IS 'sealed: what its adaptor needs and nobody reads';
COMMENT ON COLUMN payments.channel.version IS 'grows with every change of it, its agreements and windows';
GRANT SELECT, INSERT, UPDATE ON payments.channel TO steelyard_app;

CREATE TABLE payments.channel_sheet (
    channel text NOT NULL REFERENCES payments.channel,
    version integer NOT NULL CHECK (version > 0),
    capability jsonb NOT NULL,
    reason text NOT NULL,
    actor text NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (channel, version)
);
COMMENT ON TABLE payments.channel_sheet IS 'every version of what a channel said it can do';
GRANT SELECT, INSERT ON payments.channel_sheet TO steelyard_app;

CREATE TABLE payments.channel_agreement (
    id uuid PRIMARY KEY,
    channel text NOT NULL REFERENCES payments.channel,
    number text NOT NULL CHECK (number <> ''),
    supplement_of uuid REFERENCES payments.channel_agreement,
    signed_on date NOT NULL,
    effective_from date NOT NULL,
    effective_to date CHECK (effective_to > effective_from),
    terms jsonb NOT NULL,
    actor text NOT NULL,
    at timestamptz NOT NULL,
    UNIQUE (channel, number)
);
COMMENT ON TABLE payments.channel_agreement IS 'what was agreed with a channel, from when to when';
COMMENT ON COLUMN payments.channel_agreement.effective_to IS 'the first day without it';
COMMENT ON COLUMN payments.channel_agreement.terms IS 'fields of the sheet that it fixes, rates too';
GRANT SELECT, INSERT ON payments.channel_agreement TO steelyard_app;

CREATE TABLE payments.channel_stage (
    channel text NOT NULL REFERENCES payments.channel,
    version integer NOT NULL,
    before text,
    after text NOT NULL,
    cause text NOT NULL CHECK (cause <> ''),
    detail jsonb NOT NULL,
    actor text NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (channel, version)
);
COMMENT ON TABLE payments.channel_stage IS 'the life of a channel, step by step';
GRANT SELECT, INSERT ON payments.channel_stage TO steelyard_app;

CREATE TABLE payments.channel_trial (
    sequence bigint GENERATED ALWAYS AS IDENTITY,
    id uuid PRIMARY KEY,
    channel text NOT NULL REFERENCES payments.channel,
    kind text NOT NULL CHECK (kind IN ('pay', 'query', 'refund', 'decline', 'cancel', 'probe')),
    number text NOT NULL,
    said text NOT NULL,
    code text,
    amount_minor bigint,
    is_passed boolean NOT NULL,
    latency_ms integer NOT NULL CHECK (latency_ms >= 0),
    actor text NOT NULL,
    at timestamptz NOT NULL
);
COMMENT ON TABLE payments.channel_trial IS 'test payments and probes: what was asked and answered';
CREATE INDEX channel_trial_by_time ON payments.channel_trial (channel, sequence);
GRANT SELECT, INSERT ON payments.channel_trial TO steelyard_app;
"""

_HEALTH = """
CREATE TABLE payments.channel_window (
    id uuid PRIMARY KEY,
    channel text NOT NULL REFERENCES payments.channel,
    methods text[] NOT NULL DEFAULT '{}',
    starts_at timestamptz,
    ends_at timestamptz CHECK (ends_at > starts_at),
    weekdays smallint[] NOT NULL DEFAULT '{}',
    opens time,
    closes time,
    from_on date,
    until_on date,
    reason text NOT NULL,
    announced_at timestamptz NOT NULL,
    withdrawn_at timestamptz,
    actor text NOT NULL,
    CHECK ((starts_at IS NULL) = (ends_at IS NULL)),
    CHECK ((starts_at IS NULL) = (opens IS NOT NULL AND closes IS NOT NULL
        AND from_on IS NOT NULL))
);
COMMENT ON TABLE payments.channel_window IS
    'maintenance announced ahead: from an instant to another, or at local times of some weekdays';
CREATE INDEX channel_window_by_channel ON payments.channel_window (channel)
    WHERE withdrawn_at IS NULL;
GRANT SELECT, INSERT ON payments.channel_window TO steelyard_app;
GRANT UPDATE (withdrawn_at) ON payments.channel_window TO steelyard_app;

CREATE TABLE payments.channel_breaker (
    channel text NOT NULL,
    method text NOT NULL,
    state text NOT NULL CHECK (state IN ('closed', 'open', 'half_open')),
    version integer NOT NULL DEFAULT 1 CHECK (version > 0),
    opened_by text NOT NULL CHECK (opened_by IN ('', 'traffic', 'probes', 'operator')),
    trips integer NOT NULL CHECK (trips >= 0),
    since timestamptz NOT NULL,
    until timestamptz,
    detail jsonb NOT NULL,
    PRIMARY KEY (channel, method)
);
COMMENT ON TABLE payments.channel_breaker IS 'whether a channel is cut off for a method';
GRANT SELECT, INSERT, UPDATE ON payments.channel_breaker TO steelyard_app;

CREATE TABLE payments.channel_day (
    channel text NOT NULL,
    currency text NOT NULL,
    "on" date NOT NULL,
    amount_minor bigint NOT NULL CHECK (amount_minor >= 0),
    payments integer NOT NULL CHECK (payments >= 0),
    PRIMARY KEY (channel, currency, "on")
);
COMMENT ON TABLE payments.channel_day IS
    'what was taken of a day''s limit, of channels that have one; counted again by a job';
GRANT SELECT, INSERT, UPDATE ON payments.channel_day TO steelyard_app;
"""

_ROUTING = """
CREATE TABLE payments.routing_policy (
    version integer PRIMARY KEY CHECK (version > 0),
    rules jsonb NOT NULL,
    options jsonb NOT NULL,
    reason text NOT NULL,
    cause text CHECK (cause <> ''),
    actor text NOT NULL,
    made_at timestamptz NOT NULL,
    in_force_at timestamptz,
    CHECK ((cause IS NULL) = (in_force_at IS NULL))
);
COMMENT ON TABLE payments.routing_policy IS
    'rules and options of routing; the newest that came into force counts';
GRANT SELECT, INSERT ON payments.routing_policy TO steelyard_app;
GRANT UPDATE (cause, in_force_at) ON payments.routing_policy TO steelyard_app;

CREATE TABLE payments.routing_decision (
    attempt uuid PRIMARY KEY,
    decided_at timestamptz NOT NULL,
    policy integer NOT NULL,
    book_version bigint NOT NULL,
    seed bigint NOT NULL,
    rule text,
    chosen text NOT NULL,
    propensity double precision NOT NULL CHECK (propensity > 0 AND propensity <= 1),
    request jsonb NOT NULL,
    candidates jsonb NOT NULL,
    excluded jsonb NOT NULL
);
COMMENT ON TABLE payments.routing_decision IS
    'why an attempt went to its channel; enough to decide it again';
COMMENT ON COLUMN payments.routing_decision.candidates IS
    'of each channel that was open: mean, deviation, cost, draw, score';
CREATE INDEX routing_decision_by_time ON payments.routing_decision USING brin (decided_at);
GRANT SELECT, INSERT ON payments.routing_decision TO steelyard_app;
"""


def upgrade() -> None:
    """Create the tables."""
    op.execute(_LIFE)
    op.execute(_HEALTH)
    op.execute(_ROUTING)


def downgrade() -> None:
    """Drop them."""
    for name in (
        "routing_decision",
        "routing_policy",
        "channel_day",
        "channel_breaker",
        "channel_window",
        "channel_trial",
        "channel_stage",
        "channel_agreement",
        "channel_sheet",
        "channel",
    ):
        op.execute(f"DROP TABLE payments.{name}")
