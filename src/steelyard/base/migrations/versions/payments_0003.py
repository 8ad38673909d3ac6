"""payments: merchant applications, apps, fee plans, settlement accounts, webhooks."""

from alembic import op

revision = "payments_0003"
down_revision = "payments_0002"
branch_labels = None
depends_on = None

_MERCHANT = """
CREATE TABLE payments.merchant_application (
    id uuid PRIMARY KEY,
    merchant uuid NOT NULL REFERENCES payments.merchant,
    state text NOT NULL CHECK (state IN ('review', 'approved', 'declined')),
    version integer NOT NULL DEFAULT 1 CHECK (version > 0),
    industry text NOT NULL CHECK (industry ~ '^[0-9]{4}$'),
    licence_no text NOT NULL CHECK (licence_no <> ''),
    licence_until_on date,
    currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    monthly_minor bigint NOT NULL CHECK (monthly_minor > 0),
    findings text[] NOT NULL,
    outcome text NOT NULL,
    reasons text[] NOT NULL,
    cause text NOT NULL CHECK (cause ~ '^[a-z_]+[^ ]*@[0-9]+$'),
    decision uuid,
    risk_grade text NOT NULL CHECK (risk_grade IN ('A', 'B', 'C', 'D')),
    case_id uuid,
    applied_at timestamptz NOT NULL,
    applied_by text NOT NULL CHECK (applied_by <> ''),
    ruled_at timestamptz,
    ruled_by text,
    ruling text,
    CHECK ((state = 'review') = (ruled_at IS NULL)),
    CHECK ((ruled_at IS NULL) = (ruled_by IS NULL) AND (ruled_at IS NULL) = (ruling IS NULL))
);
COMMENT ON TABLE payments.merchant_application IS
    'what a merchant told when it applied (KYB), what the gate said and who ruled';
COMMENT ON COLUMN payments.merchant_application.findings IS
    'codes of what our own checks found wanting; empty: nothing';
CREATE UNIQUE INDEX merchant_application_open ON payments.merchant_application (merchant)
    WHERE state = 'review';
CREATE INDEX merchant_application_by_merchant
    ON payments.merchant_application (merchant, applied_at);
GRANT SELECT, INSERT ON payments.merchant_application TO steelyard_app;
GRANT UPDATE (state, version, risk_grade, case_id, ruled_at, ruled_by, ruling)
    ON payments.merchant_application TO steelyard_app;

CREATE TABLE payments.merchant_owner (
    application uuid NOT NULL REFERENCES payments.merchant_application,
    position smallint NOT NULL CHECK (position > 0),
    kind text NOT NULL CHECK (kind IN ('person', 'company')),
    name bytea NOT NULL,
    number bytea NOT NULL,
    number_index bytea NOT NULL CHECK (octet_length(number_index) = 32),
    share_bp integer NOT NULL CHECK (share_bp BETWEEN 0 AND 10000),
    controls boolean NOT NULL,
    PRIMARY KEY (application, position)
);
COMMENT ON TABLE payments.merchant_owner IS 'who owns or controls a merchant in the end; sealed';
COMMENT ON COLUMN payments.merchant_owner.number_index IS
    'blind index of the identity number: the same owner behind several merchants is seen';
CREATE INDEX merchant_owner_by_number ON payments.merchant_owner (number_index);

CREATE TABLE payments.merchant_change (
    merchant uuid NOT NULL REFERENCES payments.merchant,
    version integer NOT NULL CHECK (version > 0),
    state text NOT NULL,
    risk_grade text NOT NULL,
    contract jsonb NOT NULL,
    reason text NOT NULL CHECK (reason <> ''),
    cause text NOT NULL CHECK (cause <> ''),
    actor text NOT NULL CHECK (actor <> ''),
    at timestamptz NOT NULL,
    PRIMARY KEY (merchant, version)
);
COMMENT ON TABLE payments.merchant_change IS 'every version of a merchant''s contract, and why';

CREATE TABLE payments.merchant_risk_note (
    id uuid PRIMARY KEY,
    merchant uuid NOT NULL REFERENCES payments.merchant,
    code text NOT NULL CHECK (code ~ '^[a-z][a-z0-9_]{0,59}$'),
    source text NOT NULL CHECK (source ~ '^[a-z_]+:.'),
    weight smallint NOT NULL CHECK (weight BETWEEN 0 AND 100),
    detail jsonb NOT NULL,
    case_id uuid,
    at timestamptz NOT NULL,
    actor text NOT NULL CHECK (actor <> ''),
    UNIQUE (merchant, code, source)
);
COMMENT ON TABLE payments.merchant_risk_note IS 'what monitoring saw of a merchant, each once';
CREATE INDEX merchant_risk_note_by_time ON payments.merchant_risk_note (merchant, at);
"""

_APPS = """
CREATE TABLE payments.app (
    id text PRIMARY KEY CHECK (id ~ '^app_[A-Za-z0-9_]{1,40}$'),
    merchant uuid NOT NULL REFERENCES payments.merchant,
    mode text NOT NULL CHECK (mode IN ('live', 'sandbox')),
    name text NOT NULL CHECK (name <> ''),
    state text NOT NULL CHECK (state IN ('active', 'closed')),
    version integer NOT NULL DEFAULT 1 CHECK (version > 0),
    created_at timestamptz NOT NULL,
    created_by text NOT NULL CHECK (created_by <> '')
);
COMMENT ON TABLE payments.app IS 'a program of a merchant; its keys see its mode and no other';
CREATE INDEX app_by_merchant ON payments.app (merchant, created_at);
GRANT SELECT, INSERT, UPDATE (name, state, version) ON payments.app TO steelyard_app;

CREATE TABLE payments.app_key (
    key text PRIMARY KEY,
    app text NOT NULL REFERENCES payments.app,
    bound_at timestamptz NOT NULL
);
COMMENT ON TABLE payments.app_key IS 'which app a key of parties acts for';
CREATE INDEX app_key_by_app ON payments.app_key (app);
"""

_FEES = """
CREATE TABLE payments.fee_plan (
    id uuid PRIMARY KEY,
    merchant uuid NOT NULL REFERENCES payments.merchant,
    version integer NOT NULL CHECK (version > 0),
    effective_on date NOT NULL,
    timezone text NOT NULL CHECK (timezone <> ''),
    terms jsonb NOT NULL,
    returns text NOT NULL CHECK (returns IN ('full', 'proportional', 'none')),
    rounding text NOT NULL,
    state text NOT NULL CHECK (state IN ('drafted', 'approved', 'withdrawn')),
    made_by text NOT NULL CHECK (made_by <> ''),
    made_at timestamptz NOT NULL,
    approval uuid,
    cause text,
    decided_at timestamptz,
    UNIQUE (merchant, version),
    CHECK ((state = 'drafted') = (decided_at IS NULL)),
    CHECK ((state = 'approved') = (cause IS NOT NULL))
);
COMMENT ON TABLE payments.fee_plan IS 'the terms of a merchant from a day on; terms never change';
CREATE INDEX fee_plan_in_force ON payments.fee_plan (merchant, effective_on, version)
    WHERE state = 'approved';
GRANT SELECT, INSERT ON payments.fee_plan TO steelyard_app;
GRANT UPDATE (state, approval, cause, decided_at) ON payments.fee_plan TO steelyard_app;
"""

_ACCOUNTS = """
CREATE TABLE payments.settlement_account (
    id uuid PRIMARY KEY,
    merchant uuid NOT NULL REFERENCES payments.merchant,
    currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    kind text NOT NULL CHECK (kind IN ('corporate', 'personal')),
    bank text NOT NULL CHECK (bank <> ''),
    holder bytea NOT NULL,
    number bytea NOT NULL,
    number_index bytea NOT NULL CHECK (octet_length(number_index) = 32),
    hint text NOT NULL CHECK (length(hint) <= 4),
    state text NOT NULL CHECK (state IN ('proposed', 'verified', 'approved', 'withdrawn')),
    version integer NOT NULL DEFAULT 1 CHECK (version > 0),
    proposed_at timestamptz NOT NULL,
    proposed_by text NOT NULL CHECK (proposed_by <> ''),
    verified_at timestamptz,
    verified_by text,
    evidence text,
    approval uuid,
    cause text,
    approved_at timestamptz,
    active_from timestamptz,
    CHECK ((verified_at IS NULL) = (verified_by IS NULL)
        AND (verified_at IS NULL) = (evidence IS NULL)),
    CHECK ((state = 'approved') = (active_from IS NOT NULL)
        AND (state = 'approved') = (cause IS NOT NULL)
        AND (state = 'approved') = (approved_at IS NOT NULL)),
    CHECK (state NOT IN ('verified', 'approved') OR verified_at IS NOT NULL)
);
COMMENT ON TABLE payments.settlement_account IS
    'where a merchant is paid out to; the newest whose time has come holds';
COMMENT ON COLUMN payments.settlement_account.active_from IS
    'approved changes wait a day, so that a stolen login is noticed before money follows it';
CREATE INDEX settlement_account_in_force
    ON payments.settlement_account (merchant, currency, active_from) WHERE state = 'approved';
CREATE INDEX settlement_account_by_number ON payments.settlement_account (number_index);
GRANT SELECT, INSERT ON payments.settlement_account TO steelyard_app;
GRANT UPDATE (state, version, verified_at, verified_by, evidence, approval, cause, approved_at,
    active_from) ON payments.settlement_account TO steelyard_app;
"""

_WEBHOOKS = """
CREATE TABLE payments.webhook_endpoint (
    id text PRIMARY KEY CHECK (id ~ '^we_[A-Za-z0-9]{24}$'),
    merchant uuid NOT NULL REFERENCES payments.merchant,
    app text NOT NULL REFERENCES payments.app,
    mode text NOT NULL CHECK (mode IN ('live', 'sandbox')),
    url text NOT NULL CHECK (url <> ''),
    kinds text[] NOT NULL,
    form text NOT NULL CHECK (form IN ('native', 'stripe')),
    api_version text NOT NULL,
    state text NOT NULL CHECK (state IN ('enabled', 'disabled', 'closed')),
    version integer NOT NULL DEFAULT 1 CHECK (version > 0),
    disabled_for text,
    dead_in_a_row integer NOT NULL DEFAULT 0 CHECK (dead_in_a_row >= 0),
    created_at timestamptz NOT NULL,
    created_by text NOT NULL CHECK (created_by <> ''),
    CHECK ((state = 'disabled') = (disabled_for IS NOT NULL))
);
COMMENT ON TABLE payments.webhook_endpoint IS 'where an app wants to hear what happened';
COMMENT ON COLUMN payments.webhook_endpoint.kinds IS 'kinds of event; * is every one';
CREATE INDEX webhook_endpoint_by_app ON payments.webhook_endpoint (app) WHERE state <> 'closed';
GRANT SELECT, INSERT ON payments.webhook_endpoint TO steelyard_app;
GRANT UPDATE (url, kinds, state, version, disabled_for, dead_in_a_row)
    ON payments.webhook_endpoint TO steelyard_app;

CREATE TABLE payments.webhook_secret (
    endpoint text NOT NULL REFERENCES payments.webhook_endpoint,
    number integer NOT NULL CHECK (number > 0),
    sealed bytea NOT NULL,
    hint text NOT NULL,
    made_wall_at timestamptz NOT NULL,
    expires_wall_at timestamptz,
    PRIMARY KEY (endpoint, number)
);
COMMENT ON TABLE payments.webhook_secret IS
    'the newest has no end; the one before signs too until the overlap of the rotation is over';
CREATE UNIQUE INDEX webhook_secret_newest ON payments.webhook_secret (endpoint)
    WHERE expires_wall_at IS NULL;
GRANT SELECT, INSERT, DELETE, UPDATE (expires_wall_at) ON payments.webhook_secret TO steelyard_app;

CREATE TABLE payments.webhook_event (
    id uuid PRIMARY KEY,
    fact bigint NOT NULL UNIQUE,
    merchant uuid NOT NULL,
    app text,
    mode text NOT NULL CHECK (mode IN ('live', 'sandbox')),
    kind text NOT NULL CHECK (kind ~ '^[a-z_]+[.][a-z_]+$'),
    object text NOT NULL CHECK (object <> ''),
    sequence integer NOT NULL CHECK (sequence > 0),
    snapshot jsonb NOT NULL,
    occurred_at timestamptz NOT NULL,
    UNIQUE (object, sequence)
);
COMMENT ON TABLE payments.webhook_event IS
    'what happened, as merchants are told it: a snapshot that never changes';
COMMENT ON COLUMN payments.webhook_event.fact IS 'its place in the log of facts: heard once';
COMMENT ON COLUMN payments.webhook_event.app IS 'null: every app of the merchant in the mode';
CREATE INDEX webhook_event_by_merchant ON payments.webhook_event (merchant, mode, id);

CREATE TABLE payments.webhook_delivery (
    id uuid PRIMARY KEY,
    event uuid NOT NULL REFERENCES payments.webhook_event,
    endpoint text NOT NULL REFERENCES payments.webhook_endpoint,
    merchant uuid NOT NULL,
    state text NOT NULL CHECK (state IN ('pending', 'retrying', 'delivered', 'dead', 'replayed')),
    version integer NOT NULL DEFAULT 1 CHECK (version > 0),
    tries integer NOT NULL DEFAULT 0 CHECK (tries >= 0),
    round_tries integer NOT NULL DEFAULT 0 CHECK (round_tries >= 0),
    next_try_wall_at timestamptz,
    sending_until timestamptz,
    last_status integer,
    last_error text,
    made_at timestamptz NOT NULL,
    made_wall_at timestamptz NOT NULL,
    delivered_wall_at timestamptz,
    UNIQUE (event, endpoint),
    CHECK ((state IN ('pending', 'retrying', 'replayed')) = (next_try_wall_at IS NOT NULL)),
    CHECK (state <> 'delivered' OR delivered_wall_at IS NOT NULL)
) WITH (fillfactor = 70);
COMMENT ON TABLE payments.webhook_delivery IS
    'one event on its way to one endpoint; only `delivered` means that it needs not be sent';
COMMENT ON COLUMN payments.webhook_delivery.sending_until IS
    'until when a worker has it; past that another one takes it';
COMMENT ON COLUMN payments.webhook_delivery.round_tries IS 'since it was last replayed by hand';
CREATE INDEX webhook_delivery_due ON payments.webhook_delivery (endpoint, next_try_wall_at)
    WHERE next_try_wall_at IS NOT NULL;
CREATE INDEX webhook_delivery_by_endpoint ON payments.webhook_delivery (endpoint, made_at, id);
CREATE INDEX webhook_delivery_by_merchant ON payments.webhook_delivery (merchant, made_at, id);
GRANT SELECT, INSERT ON payments.webhook_delivery TO steelyard_app;
GRANT UPDATE (state, version, tries, round_tries, next_try_wall_at, sending_until, last_status,
    last_error, delivered_wall_at) ON payments.webhook_delivery TO steelyard_app;

CREATE TABLE payments.webhook_try (
    delivery uuid NOT NULL REFERENCES payments.webhook_delivery,
    no integer NOT NULL CHECK (no > 0),
    wall_at timestamptz NOT NULL,
    status integer,
    error text,
    answer text NOT NULL,
    latency_ms integer NOT NULL CHECK (latency_ms >= 0),
    PRIMARY KEY (delivery, no),
    CHECK ((status IS NULL) = (error IS NOT NULL))
);
COMMENT ON COLUMN payments.webhook_try.answer IS 'the first bytes that came back, printable';
"""

_APPEND_ONLY = (
    "merchant_owner",
    "merchant_change",
    "merchant_risk_note",
    "app_key",
    "webhook_event",
    "webhook_try",
)


def upgrade() -> None:
    """Create the tables."""
    for part in (_MERCHANT, _APPS, _FEES, _ACCOUNTS, _WEBHOOKS):
        op.execute(part)
    for table in _APPEND_ONLY:
        op.execute(
            f"GRANT SELECT, INSERT ON payments.{table} TO steelyard_app;"
            f" CREATE TRIGGER {table}_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE"
            f" ON payments.{table} FOR EACH STATEMENT EXECUTE FUNCTION base.refuse_change();"
        )


def downgrade() -> None:
    """Drop them."""
    for table in (
        *("webhook_try", "webhook_delivery", "webhook_event", "webhook_secret"),
        *("webhook_endpoint", "settlement_account", "fee_plan", "app_key", "app"),
        *("merchant_risk_note", "merchant_change", "merchant_owner", "merchant_application"),
    ):
        op.execute(f"DROP TABLE payments.{table}")
