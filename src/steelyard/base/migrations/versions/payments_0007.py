"""payments: direct debit: agreements, debits, batches."""

from alembic import op

revision = "payments_0007"
down_revision = "payments_0006"
branch_labels = None
depends_on = None

_MANDATE = """
CREATE TABLE payments.mandate (
    id uuid PRIMARY KEY,
    merchant uuid NOT NULL,
    customer uuid NOT NULL,
    mode text NOT NULL CHECK (mode IN ('live', 'sandbox')),
    mandate_no text NOT NULL,
    currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    single_most_minor bigint NOT NULL CHECK (single_most_minor > 0),
    period_most_minor bigint NOT NULL CHECK (period_most_minor >= single_most_minor),
    period text NOT NULL CHECK (period IN ('day', 'month', 'year')),
    account text,
    channel text,
    kind text NOT NULL,
    needs_confirmation boolean NOT NULL,
    signing_minor bigint NOT NULL CHECK (signing_minor > 0),
    cycle text NOT NULL CHECK (cycle IN ('none', 'day', 'month')),
    cycle_length integer NOT NULL CHECK (cycle_length > 0),
    first_on date CHECK ((first_on IS NULL) = (cycle = 'none')),
    notice_days integer NOT NULL CHECK (notice_days BETWEEN 0 AND 30),
    pay_days smallint[] NOT NULL,
    calendar text NOT NULL,
    valid_until date,
    subject text NOT NULL,
    details jsonb NOT NULL,
    state text NOT NULL CHECK (state IN ('draft', 'signing', 'active', 'suspended', 'terminating',
        'terminated', 'rejected', 'expired')),
    version integer NOT NULL DEFAULT 1 CHECK (version > 0),
    created_at timestamptz NOT NULL,
    created_by text NOT NULL,
    signed_at timestamptz,
    signed_by text,
    signed_on date,
    last_on date,
    next_on date,
    why text NOT NULL DEFAULT '',
    UNIQUE (merchant, mode, mandate_no),
    CHECK (account IS NULL OR (channel IS NULL AND NOT needs_confirmation)),
    CHECK ((signed_at IS NULL) = (signed_by IS NULL) AND (signed_at IS NULL) = (signed_on IS NULL)),
    CHECK (state NOT IN ('active', 'suspended', 'terminating', 'terminated')
        OR signed_at IS NOT NULL)
) WITH (fillfactor = 80);
COMMENT ON TABLE payments.mandate IS 'what a customer allows a merchant to take from him';
COMMENT ON COLUMN payments.mandate.next_on IS 'the next date of its cycle; it only moves later';
CREATE INDEX mandate_by_customer ON payments.mandate (customer, created_at);
CREATE INDEX mandate_by_time ON payments.mandate (merchant, created_at);
CREATE INDEX mandate_by_idle ON payments.mandate (coalesce(last_on, signed_on))
    WHERE state IN ('active', 'suspended');
CREATE INDEX mandate_by_end ON payments.mandate (valid_until)
    WHERE state IN ('draft', 'active', 'suspended') AND valid_until IS NOT NULL;
CREATE INDEX mandate_ending ON payments.mandate (id) WHERE state IN ('signing', 'terminating');
GRANT SELECT, INSERT ON payments.mandate TO steelyard_app;
GRANT UPDATE (state, version, signed_at, signed_by, signed_on, last_on, next_on, why)
    ON payments.mandate TO steelyard_app;

CREATE TABLE payments.mandate_step (
    mandate uuid NOT NULL REFERENCES payments.mandate,
    version integer NOT NULL,
    state text NOT NULL,
    verb text NOT NULL,
    why text NOT NULL,
    actor text NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (mandate, version)
);
COMMENT ON TABLE payments.mandate_step IS 'everything that was ever done to a mandate';
"""

_DEBIT = """
CREATE TABLE payments.debit (
    id uuid PRIMARY KEY,
    mandate uuid NOT NULL REFERENCES payments.mandate,
    merchant uuid NOT NULL,
    customer uuid NOT NULL,
    mode text NOT NULL CHECK (mode IN ('live', 'sandbox')),
    debit_no text NOT NULL,
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    currency text NOT NULL,
    due_on date NOT NULL,
    subject text NOT NULL,
    is_signing boolean NOT NULL,
    state text NOT NULL CHECK (state IN ('scheduled', 'prenotified', 'sent', 'accepted', 'unknown',
        'succeeded', 'returned', 'refund_claimed', 'failed_retryable', 'failed_final',
        'cancelled')),
    version integer NOT NULL DEFAULT 1 CHECK (version > 0),
    counted_on date NOT NULL,
    try_on date NOT NULL,
    created_at timestamptz NOT NULL,
    created_by text NOT NULL,
    tries smallint NOT NULL DEFAULT 0 CHECK (tries BETWEEN 0 AND 3),
    order_id uuid UNIQUE,
    movement uuid UNIQUE,
    first_sent_on date,
    sent_at timestamptz,
    code text,
    decline text,
    failure text,
    final_at timestamptz,
    returned_at timestamptz,
    UNIQUE (merchant, mode, debit_no)
) WITH (fillfactor = 70);
COMMENT ON TABLE payments.debit IS 'an amount taken by a mandate; its order moves the money';
COMMENT ON COLUMN payments.debit.counted_on IS
    'period in which it is counted, once, however often it is tried';
COMMENT ON COLUMN payments.debit.tries IS 'how often it was sent: once, and twice again at most';
CREATE INDEX debit_by_period ON payments.debit (mandate, counted_on)
    WHERE state NOT IN ('failed_final', 'cancelled');
CREATE INDEX debit_by_mandate ON payments.debit (mandate, created_at);
CREATE INDEX debit_by_time ON payments.debit (merchant, created_at);
CREATE INDEX debit_to_send ON payments.debit (try_on, id)
    WHERE state IN ('scheduled', 'prenotified', 'failed_retryable');
CREATE INDEX debit_under_way ON payments.debit (id) WHERE state IN ('sent', 'accepted', 'unknown');
GRANT SELECT, INSERT ON payments.debit TO steelyard_app;
GRANT UPDATE (state, version, try_on, tries, order_id, first_sent_on, sent_at, code, decline,
    failure, final_at, returned_at) ON payments.debit TO steelyard_app;
"""

_BATCH = """
CREATE TABLE payments.debit_batch (
    id uuid PRIMARY KEY,
    merchant uuid NOT NULL,
    mode text NOT NULL CHECK (mode IN ('live', 'sandbox')),
    file_no text NOT NULL,
    name text NOT NULL,
    sha256 text NOT NULL CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    bytes bigint NOT NULL CHECK (bytes > 0),
    currency text NOT NULL,
    amounts text NOT NULL CHECK (amounts IN ('minor', 'decimal')),
    stated_rows integer NOT NULL,
    stated_minor bigint NOT NULL,
    state text NOT NULL CHECK (state IN ('uploaded', 'parsed', 'validated', 'rejected_file',
        'approved', 'split', 'submitted', 'partial', 'complete', 'recalled')),
    version integer NOT NULL DEFAULT 1 CHECK (version > 0),
    rows integer NOT NULL DEFAULT 0,
    sum_minor bigint NOT NULL DEFAULT 0,
    errors integer NOT NULL DEFAULT 0,
    good_minor bigint NOT NULL DEFAULT 0,
    done_to integer NOT NULL DEFAULT 0,
    why text NOT NULL DEFAULT '',
    cause text,
    uploaded_at timestamptz NOT NULL,
    uploaded_by text NOT NULL,
    completed_at timestamptz,
    UNIQUE (merchant, mode, sha256)
) WITH (fillfactor = 70);
COMMENT ON TABLE payments.debit_batch IS 'a file of debits; its hash is never taken twice';
COMMENT ON COLUMN payments.debit_batch.done_to IS
    'line up to which the step under way is done: it goes on from there after a crash';
CREATE INDEX debit_batch_by_time ON payments.debit_batch (merchant, uploaded_at);
CREATE INDEX debit_batch_open ON payments.debit_batch (id)
    WHERE state NOT IN ('rejected_file', 'complete', 'recalled', 'validated');
GRANT SELECT, INSERT ON payments.debit_batch TO steelyard_app;
GRANT UPDATE (state, version, rows, sum_minor, errors, good_minor, done_to, why, cause,
    completed_at) ON payments.debit_batch TO steelyard_app;

CREATE TABLE payments.debit_batch_file (
    batch uuid PRIMARY KEY REFERENCES payments.debit_batch,
    content bytea NOT NULL
);
COMMENT ON TABLE payments.debit_batch_file IS 'the bytes as they were uploaded';

CREATE TABLE payments.debit_batch_row (
    batch uuid NOT NULL REFERENCES payments.debit_batch,
    line integer NOT NULL,
    merchant uuid NOT NULL,
    mode text NOT NULL,
    debit_no text NOT NULL,
    mandate_no text NOT NULL,
    amount_minor bigint,
    due_on date,
    subject text NOT NULL,
    fingerprint uuid NOT NULL,
    error text,
    found text NOT NULL DEFAULT '',
    is_live boolean NOT NULL DEFAULT false,
    mandate uuid,
    part integer,
    debit uuid,
    PRIMARY KEY (batch, line)
);
COMMENT ON COLUMN payments.debit_batch_row.error IS 'why it is not taken; the rest goes on';
COMMENT ON COLUMN payments.debit_batch_row.is_live IS
    'it stands for a debit, done or to be done: the same in another file is refused';
CREATE UNIQUE INDEX debit_batch_row_no ON payments.debit_batch_row (merchant, mode, debit_no)
    WHERE is_live;
CREATE UNIQUE INDEX debit_batch_row_same ON payments.debit_batch_row (merchant, mode, fingerprint)
    WHERE is_live;
CREATE INDEX debit_batch_row_wrong ON payments.debit_batch_row (batch, line)
    WHERE error IS NOT NULL;
CREATE INDEX debit_batch_row_part ON payments.debit_batch_row (batch, part, line)
    WHERE part IS NOT NULL;
CREATE UNIQUE INDEX debit_batch_row_debit ON payments.debit_batch_row (debit)
    WHERE debit IS NOT NULL;
GRANT SELECT, INSERT ON payments.debit_batch_row TO steelyard_app;
GRANT UPDATE (error, found, is_live, mandate, part, debit) ON payments.debit_batch_row
    TO steelyard_app;

CREATE TABLE payments.debit_batch_part (
    batch uuid NOT NULL REFERENCES payments.debit_batch,
    part integer NOT NULL CHECK (part > 0),
    channel text NOT NULL,
    rows integer NOT NULL CHECK (rows > 0),
    sum_minor bigint NOT NULL CHECK (sum_minor > 0),
    PRIMARY KEY (batch, part)
);
COMMENT ON COLUMN payments.debit_batch_part.channel IS 'empty: the routing chooses';

CREATE TABLE payments.debit_batch_result (
    batch uuid NOT NULL REFERENCES payments.debit_batch,
    sha256 text NOT NULL CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    taken_at timestamptz NOT NULL,
    taken_by text NOT NULL,
    rows integer NOT NULL,
    new integer NOT NULL,
    missing integer NOT NULL,
    problems jsonb NOT NULL,
    PRIMARY KEY (batch, sha256)
);
COMMENT ON TABLE payments.debit_batch_result IS
    'files in which a channel said what became of a batch, each taken once';
"""

_APPEND_ONLY = ("mandate_step", "debit_batch_file", "debit_batch_part", "debit_batch_result")


def upgrade() -> None:
    """Create the tables."""
    for part in (_MANDATE, _DEBIT, _BATCH):
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
        *("debit_batch_result", "debit_batch_part", "debit_batch_row", "debit_batch_file"),
        *("debit_batch", "debit", "mandate_step", "mandate"),
    ):
        op.execute(f"DROP TABLE payments.{table}")
