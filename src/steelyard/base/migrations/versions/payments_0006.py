"""payments: statement files and their lines, reconciliation runs and items."""

from alembic import op

revision = "payments_0006"
down_revision = "payments_0005"
branch_labels = None
depends_on = None

_FILES = """
CREATE TABLE payments.recon_plan (
    channel text PRIMARY KEY CHECK (channel <> ''),
    mode text NOT NULL CHECK (mode IN ('live', 'sandbox')),
    timezone text NOT NULL,
    cut_off time NOT NULL,
    due_days smallint NOT NULL CHECK (due_days >= 0),
    due_at time NOT NULL,
    suspect_days smallint NOT NULL CHECK (suspect_days >= 0),
    case_days smallint NOT NULL CHECK (case_days >= 0),
    tolerance_minor bigint NOT NULL CHECK (tolerance_minor >= 0),
    budget_minor bigint NOT NULL CHECK (budget_minor >= 0),
    write_off_minor bigint NOT NULL CHECK (write_off_minor >= 0),
    fee_ppm integer CHECK (fee_ppm >= 0),
    starts_on date NOT NULL,
    version integer NOT NULL DEFAULT 1 CHECK (version > 0),
    updated_at timestamptz NOT NULL
);
COMMENT ON TABLE payments.recon_plan IS
    'when the statements of a channel are expected, and what is tolerated in them';
COMMENT ON COLUMN payments.recon_plan.fee_ppm IS
    'millionths of an amount that it keeps, where it tells no fee with the payment';
GRANT SELECT, INSERT, UPDATE ON payments.recon_plan TO steelyard_app;

CREATE TABLE payments.statement_day (
    channel text NOT NULL REFERENCES payments.recon_plan,
    on_day date NOT NULL,
    state text NOT NULL CHECK (state IN ('expected', 'late', 'arrived', 'incomplete', 'verified',
        'staged', 'matched', 'closed')),
    version integer NOT NULL DEFAULT 1 CHECK (version > 0),
    due_at timestamptz NOT NULL,
    run uuid,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (channel, on_day)
);
COMMENT ON TABLE payments.statement_day IS 'which statement is expected, and how far it came';
COMMENT ON COLUMN payments.statement_day.run IS 'the newest finished run';
CREATE INDEX statement_day_due ON payments.statement_day (due_at)
    WHERE state IN ('expected', 'late', 'incomplete');
GRANT SELECT, INSERT, UPDATE ON payments.statement_day TO steelyard_app;

CREATE TABLE payments.statement_file (
    id uuid PRIMARY KEY,
    channel text NOT NULL,
    on_day date NOT NULL,
    version smallint NOT NULL CHECK (version > 0),
    name text NOT NULL,
    form text NOT NULL,
    sha256 bytea NOT NULL CHECK (octet_length(sha256) = 32),
    state text NOT NULL CHECK (state IN ('arrived', 'verified', 'staged', 'corrected')),
    account text NOT NULL,
    currency text NOT NULL,
    page smallint NOT NULL CHECK (page > 0),
    is_last_page boolean NOT NULL,
    proof text NOT NULL CHECK (proof IN ('balances', 'totals', 'none')),
    lines integer NOT NULL CHECK (lines >= 0),
    total_minor bigint NOT NULL,
    opening_minor bigint,
    closing_minor bigint,
    arrived_at timestamptz NOT NULL,
    by text NOT NULL CHECK (by <> ''),
    FOREIGN KEY (channel, on_day) REFERENCES payments.statement_day,
    UNIQUE (channel, on_day, account, currency, page, version)
);
COMMENT ON TABLE payments.statement_file IS
    'a statement as it was taken; a later version of the same account and page replaces it';
COMMENT ON COLUMN payments.statement_file.proof IS
    'what in it shows that no line is missing; without any, absence in it proves nothing';
CREATE INDEX statement_file_by_hash ON payments.statement_file (channel, sha256);
GRANT SELECT, INSERT ON payments.statement_file TO steelyard_app;
GRANT UPDATE (state) ON payments.statement_file TO steelyard_app;

CREATE TABLE payments.statement_part (
    file uuid NOT NULL REFERENCES payments.statement_file,
    part integer NOT NULL CHECK (part >= 0),
    lines integer NOT NULL CHECK (lines >= 0),
    columns bytea NOT NULL,
    PRIMARY KEY (file, part)
);
COMMENT ON TABLE payments.statement_part IS 'lines of a statement as compressed columns';
ALTER TABLE payments.statement_part ALTER columns SET STORAGE EXTERNAL;
GRANT SELECT, INSERT ON payments.statement_part TO steelyard_app;
"""

_RUNS = """
CREATE TABLE payments.recon_run (
    id uuid PRIMARY KEY,
    channel text NOT NULL,
    on_day date NOT NULL,
    no integer NOT NULL CHECK (no > 0),
    state text NOT NULL CHECK (state IN ('running', 'finished')),
    files uuid[] NOT NULL,
    is_complete boolean NOT NULL,
    ours integer NOT NULL CHECK (ours >= 0),
    theirs integer NOT NULL CHECK (theirs >= 0),
    matched integer NOT NULL DEFAULT 0,
    stages jsonb NOT NULL DEFAULT '{}',
    breaks jsonb NOT NULL DEFAULT '{}',
    sums jsonb NOT NULL DEFAULT '{}',
    digest text CHECK (digest ~ '^[0-9a-f]{64}$'),
    started_at timestamptz NOT NULL,
    finished_at timestamptz,
    by text NOT NULL CHECK (by <> ''),
    UNIQUE (channel, on_day, no),
    CHECK ((state = 'finished') = (digest IS NOT NULL)),
    CHECK ((state = 'finished') = (finished_at IS NOT NULL))
);
COMMENT ON TABLE payments.recon_run IS
    'a matching of a day; a later one of the same day leaves it as it was';
COMMENT ON COLUMN payments.recon_run.digest IS 'two runs with the same result have the same';
COMMENT ON COLUMN payments.recon_run.sums IS
    'of lines that are no payments (fees, payouts), by kind and currency';
GRANT SELECT, INSERT, UPDATE ON payments.recon_run TO steelyard_app;

CREATE TABLE payments.recon_part (
    run uuid NOT NULL REFERENCES payments.recon_run,
    part integer NOT NULL CHECK (part >= 0),
    columns bytea NOT NULL,
    PRIMARY KEY (run, part)
);
COMMENT ON TABLE payments.recon_part IS 'what a run matched, as compressed columns';
ALTER TABLE payments.recon_part ALTER columns SET STORAGE EXTERNAL;
GRANT SELECT, INSERT ON payments.recon_part TO steelyard_app;

CREATE TABLE payments.recon_cross (
    run uuid NOT NULL REFERENCES payments.recon_run,
    number text NOT NULL,
    file uuid NOT NULL,
    line integer NOT NULL,
    ours_on date NOT NULL,
    theirs_on date NOT NULL,
    PRIMARY KEY (run, number, file, line)
);
COMMENT ON TABLE payments.recon_cross IS
    'pairs of a run whose payment or line belongs to another day';
CREATE INDEX recon_cross_by_number ON payments.recon_cross (number);
CREATE INDEX recon_cross_by_line ON payments.recon_cross (file, line);
GRANT SELECT, INSERT ON payments.recon_cross TO steelyard_app;

CREATE TABLE payments.recon_item (
    id uuid PRIMARY KEY,
    channel text NOT NULL,
    mode text NOT NULL CHECK (mode IN ('live', 'sandbox')),
    on_day date NOT NULL,
    key text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('long', 'short', 'bank_only', 'platform_only', 'amount',
        'fee', 'currency', 'status', 'date', 'duplicate', 'direction', 'split')),
    state text NOT NULL CHECK (state IN ('suspect', 'break', 'assigned', 'proposed', 'approved',
        'posted', 'closed', 'matched')),
    version integer NOT NULL DEFAULT 1 CHECK (version > 0),
    run uuid NOT NULL REFERENCES payments.recon_run,
    number text NOT NULL,
    of_refund boolean NOT NULL,
    file uuid,
    line integer,
    difference_minor bigint NOT NULL,
    at_risk_minor bigint NOT NULL CHECK (at_risk_minor >= 0),
    currency text NOT NULL,
    differs_in text[] NOT NULL,
    held jsonb NOT NULL,
    listed jsonb NOT NULL,
    suspect_until date NOT NULL,
    suspense_minor bigint NOT NULL DEFAULT 0,
    owner text,
    proposal jsonb,
    approval uuid,
    cause text,
    opened_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    closed_at timestamptz,
    closed_why text,
    case_at timestamptz,
    UNIQUE (channel, key),
    CHECK ((closed_at IS NOT NULL) = (state IN ('closed', 'matched'))),
    CHECK ((closed_at IS NULL) = (closed_why IS NULL)),
    CHECK (state NOT IN ('proposed', 'approved') OR (proposal IS NOT NULL AND approval IS NOT NULL))
) WITH (fillfactor = 70);
COMMENT ON TABLE payments.recon_item IS
    'what a statement and our books do not agree in, until it is explained or posted';
COMMENT ON COLUMN payments.recon_item.key IS 'what finds it again in a later run of the day';
COMMENT ON COLUMN payments.recon_item.difference_minor IS 'what they have more than we';
COMMENT ON COLUMN payments.recon_item.suspense_minor IS
    'what of it lies in unclaimed (over zero) or in shortage (below)';
CREATE INDEX recon_item_open ON payments.recon_item (channel, on_day, id)
    WHERE state NOT IN ('closed', 'matched');
CREATE INDEX recon_item_by_day ON payments.recon_item (channel, on_day, id);
CREATE INDEX recon_item_by_number ON payments.recon_item (number) WHERE number <> '';
CREATE INDEX recon_item_newest ON payments.recon_item (id);
GRANT SELECT, INSERT, UPDATE ON payments.recon_item TO steelyard_app;

CREATE TABLE payments.recon_event (
    item uuid NOT NULL REFERENCES payments.recon_item,
    version integer NOT NULL,
    state text NOT NULL,
    what text NOT NULL CHECK (what <> ''),
    detail jsonb NOT NULL,
    actor text NOT NULL CHECK (actor <> ''),
    at timestamptz NOT NULL,
    PRIMARY KEY (item, version)
);
COMMENT ON TABLE payments.recon_event IS 'what was done to an item, one line for each version';
GRANT SELECT, INSERT ON payments.recon_event TO steelyard_app;
"""

_TABLES = (
    "recon_event",
    "recon_item",
    "recon_cross",
    "recon_part",
    "recon_run",
    "statement_part",
    "statement_file",
    "statement_day",
    "recon_plan",
)


def upgrade() -> None:
    """Create the tables."""
    op.execute(_FILES)
    op.execute(_RUNS)


def downgrade() -> None:
    """Drop them."""
    for table in _TABLES:
        op.execute(f"DROP TABLE payments.{table}")
