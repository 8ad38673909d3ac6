"""payments: clearing days, settlements, payouts, custody statements, tie-outs."""

from alembic import op

revision = "payments_0005"
down_revision = "payments_0004"
branch_labels = None
depends_on = None

_CLEARING = """
CREATE INDEX attempt_by_end ON payments.attempt (channel, final_at) WHERE state = 'succeeded';
CREATE INDEX attempt_reversed ON payments.attempt (channel, final_at) WHERE state = 'reversed';

CREATE TABLE payments.clearing_day (
    channel text NOT NULL,
    mode text NOT NULL CHECK (mode IN ('live', 'sandbox')),
    on_day date NOT NULL,
    state text NOT NULL CHECK (state IN ('open', 'cut_off', 'frozen', 'cleared', 'recon_gated')),
    version integer NOT NULL DEFAULT 1 CHECK (version > 0),
    timezone text NOT NULL,
    opens_at timestamptz NOT NULL,
    closes_at timestamptz NOT NULL CHECK (closes_at > opens_at),
    cut_off_at timestamptz,
    frozen_at timestamptz,
    cleared_at timestamptz,
    gated_at timestamptz,
    gate jsonb,
    cost_minor jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (channel, mode, on_day)
);
COMMENT ON TABLE payments.clearing_day IS 'a business date of a channel, on the channel''s clock';
COMMENT ON COLUMN payments.clearing_day.gate IS 'what reconciliation said of the day when asked';
COMMENT ON COLUMN payments.clearing_day.cost_minor IS 'what the channel kept, by currency';
CREATE INDEX clearing_day_unfinished ON payments.clearing_day (mode, on_day)
    WHERE state <> 'recon_gated';
GRANT SELECT, INSERT ON payments.clearing_day TO steelyard_app;
GRANT UPDATE (state, version, cut_off_at, frozen_at, cleared_at, gated_at, gate, cost_minor)
    ON payments.clearing_day TO steelyard_app;

CREATE TABLE payments.clearing_line (
    about uuid NOT NULL,
    kind text NOT NULL CHECK (kind IN ('payment', 'refund', 'dispute', 'fee_return')),
    part smallint NOT NULL DEFAULT 1 CHECK (part > 0),
    channel text NOT NULL,
    mode text NOT NULL,
    on_day date NOT NULL,
    merchant uuid NOT NULL,
    currency text NOT NULL,
    method text NOT NULL,
    amount_minor bigint NOT NULL,
    pending_minor bigint NOT NULL,
    fee_minor bigint NOT NULL,
    plan text NOT NULL,
    happened_at timestamptz NOT NULL,
    PRIMARY KEY (about, kind, part),
    FOREIGN KEY (channel, mode, on_day) REFERENCES payments.clearing_day
);
COMMENT ON TABLE payments.clearing_line IS
    'what a day clears of payments, refunds and disputes: how they differ from the lines before';
COMMENT ON COLUMN payments.clearing_line.amount_minor IS 'of the merchant: over zero what he took';
COMMENT ON COLUMN payments.clearing_line.pending_minor IS
    'what of it lies in the merchant''s account of what is to be cleared';
CREATE INDEX clearing_line_by_day ON payments.clearing_line (channel, mode, on_day, merchant);
CREATE INDEX clearing_line_by_merchant ON payments.clearing_line (merchant, on_day);

CREATE TABLE payments.clearing_total (
    channel text NOT NULL,
    mode text NOT NULL,
    on_day date NOT NULL,
    merchant uuid NOT NULL,
    currency text NOT NULL,
    payments integer NOT NULL CHECK (payments >= 0),
    refunds integer NOT NULL CHECK (refunds >= 0),
    gross_minor bigint NOT NULL,
    refund_minor bigint NOT NULL,
    dispute_minor bigint NOT NULL,
    fee_minor bigint NOT NULL,
    reserve_minor bigint NOT NULL CHECK (reserve_minor >= 0),
    net_minor bigint NOT NULL,
    posted_minor bigint NOT NULL,
    due_on date NOT NULL CHECK (due_on >= on_day),
    release_on date NOT NULL,
    entry uuid NOT NULL,
    PRIMARY KEY (merchant, mode, currency, channel, on_day),
    FOREIGN KEY (channel, mode, on_day) REFERENCES payments.clearing_day,
    CHECK (gross_minor = refund_minor + dispute_minor + fee_minor + reserve_minor + net_minor)
);
COMMENT ON TABLE payments.clearing_total IS 'the net of a day for a merchant in a currency';
COMMENT ON COLUMN payments.clearing_total.posted_minor IS
    'what came to the merchant''s available account by it; refunds were taken from there before';
COMMENT ON COLUMN payments.clearing_total.due_on IS 'first day on which it may be paid out';
CREATE INDEX clearing_total_by_day ON payments.clearing_total (channel, mode, on_day);
CREATE INDEX clearing_total_by_due ON payments.clearing_total (mode, due_on);

CREATE TABLE payments.reserve_release (
    merchant uuid NOT NULL,
    mode text NOT NULL,
    currency text NOT NULL,
    on_day date NOT NULL,
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    through_on date NOT NULL,
    entry uuid NOT NULL,
    PRIMARY KEY (merchant, mode, currency, on_day)
);
COMMENT ON TABLE payments.reserve_release IS
    'what of a merchant''s rolling reserve was set free on a day: all that was due through it';

CREATE TABLE payments.fee_correction (
    id uuid PRIMARY KEY,
    payment uuid NOT NULL,
    merchant uuid NOT NULL,
    mode text NOT NULL,
    currency text NOT NULL,
    was_minor bigint NOT NULL CHECK (was_minor >= 0),
    is_minor bigint NOT NULL CHECK (is_minor >= 0 AND is_minor <> was_minor),
    of_day date NOT NULL,
    made_on date NOT NULL,
    reason text NOT NULL CHECK (reason <> ''),
    cause text NOT NULL,
    reversal uuid NOT NULL,
    entry uuid NOT NULL,
    made_at timestamptz NOT NULL,
    made_by text NOT NULL
);
COMMENT ON TABLE payments.fee_correction IS
    'a fee found wrong after its day was cleared: the day stays, reversal and new posting are added';
CREATE INDEX fee_correction_by_payment ON payments.fee_correction (payment, made_at);
CREATE INDEX fee_correction_by_merchant ON payments.fee_correction (merchant, made_on);
"""

_SETTLEMENT = """
CREATE TABLE payments.settlement (
    id uuid PRIMARY KEY,
    merchant uuid NOT NULL,
    mode text NOT NULL CHECK (mode IN ('live', 'sandbox')),
    currency text NOT NULL,
    on_day date NOT NULL,
    state text NOT NULL CHECK (state IN ('calculated', 'held', 'approved', 'carried', 'superseded',
        'paying', 'paid', 'pay_failed', 'pay_unknown', 'returned', 'reissued', 'released')),
    version integer NOT NULL DEFAULT 1 CHECK (version > 0),
    balance_minor bigint NOT NULL,
    not_due_minor bigint NOT NULL CHECK (not_due_minor >= 0),
    amount_minor bigint NOT NULL CHECK (amount_minor >= 0),
    carried_minor bigint NOT NULL,
    held_for text,
    cause text,
    calculated_at timestamptz NOT NULL,
    changed_at timestamptz NOT NULL,
    UNIQUE (merchant, mode, currency, on_day),
    CHECK (balance_minor - not_due_minor = amount_minor + carried_minor),
    CHECK ((state = 'held') = (held_for IS NOT NULL))
) WITH (fillfactor = 80);
COMMENT ON TABLE payments.settlement IS 'what a merchant is paid on a day in a currency, once';
COMMENT ON COLUMN payments.settlement.carried_minor IS
    'what stays: below the least amount, or below zero and made good by what he sells next';
CREATE INDEX settlement_by_day ON payments.settlement (mode, on_day);
CREATE UNIQUE INDEX settlement_waiting ON payments.settlement (merchant, mode, currency)
    WHERE state IN ('calculated', 'held', 'approved');
CREATE INDEX settlement_unfinished ON payments.settlement (mode, changed_at)
    WHERE state IN ('calculated', 'held', 'approved', 'paying', 'pay_unknown', 'returned');
GRANT SELECT, INSERT ON payments.settlement TO steelyard_app;
GRANT UPDATE (state, version, held_for, cause, changed_at) ON payments.settlement TO steelyard_app;

CREATE TABLE payments.settlement_hold (
    id uuid PRIMARY KEY,
    merchant uuid NOT NULL,
    reason text NOT NULL CHECK (reason <> ''),
    since_at timestamptz NOT NULL,
    by text NOT NULL,
    lifted_at timestamptz,
    lifted_by text,
    cause text,
    CHECK ((lifted_at IS NULL) = (lifted_by IS NULL))
);
COMMENT ON TABLE payments.settlement_hold IS 'risk: the merchant is not paid for now';
CREATE UNIQUE INDEX settlement_hold_open ON payments.settlement_hold (merchant)
    WHERE lifted_at IS NULL;
GRANT SELECT, INSERT ON payments.settlement_hold TO steelyard_app;
GRANT UPDATE (lifted_at, lifted_by, cause) ON payments.settlement_hold TO steelyard_app;

CREATE TABLE payments.payout (
    id uuid PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('settlement', 'sweep')),
    settlement uuid REFERENCES payments.settlement,
    no smallint NOT NULL CHECK (no > 0),
    merchant uuid,
    mode text NOT NULL,
    currency text NOT NULL,
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    payee text NOT NULL,
    payee_tail text NOT NULL,
    state text NOT NULL CHECK (state IN ('intended', 'sent', 'pending', 'unknown', 'paid', 'failed',
        'returned')),
    version integer NOT NULL DEFAULT 1 CHECK (version > 0),
    cause text NOT NULL,
    began_at timestamptz NOT NULL,
    queries smallint NOT NULL DEFAULT 0,
    next_query_at timestamptz,
    reference text,
    why text,
    executed_on date,
    returned_on date,
    final_at timestamptz,
    UNIQUE (settlement, no),
    CHECK ((kind = 'settlement') = (settlement IS NOT NULL AND merchant IS NOT NULL))
) WITH (fillfactor = 80);
COMMENT ON TABLE payments.payout IS 'an order to the custodian; its id is the number outside';
COMMENT ON COLUMN payments.payout.payee IS 'which listed account: `account:<id>` or `own`';
CREATE INDEX payout_by_query ON payments.payout (next_query_at) WHERE next_query_at IS NOT NULL;
CREATE INDEX payout_by_end ON payments.payout (mode, currency, executed_on);
CREATE UNIQUE INDEX payout_sweep_under_way ON payments.payout (mode, currency)
    WHERE kind = 'sweep' AND state IN ('intended', 'sent', 'pending', 'unknown');
GRANT SELECT, INSERT ON payments.payout TO steelyard_app;
GRANT UPDATE (state, version, queries, next_query_at, reference, why, executed_on, returned_on,
    final_at) ON payments.payout TO steelyard_app;

CREATE TABLE payments.payout_evidence (
    id uuid PRIMARY KEY,
    payout uuid NOT NULL REFERENCES payments.payout,
    source text NOT NULL CHECK (source IN ('answer', 'query', 'statement', 'operator')),
    said text NOT NULL,
    content jsonb NOT NULL,
    is_new boolean NOT NULL,
    seen_at timestamptz NOT NULL,
    actor text NOT NULL
);
COMMENT ON TABLE payments.payout_evidence IS 'what was learnt about a payout';
CREATE INDEX payout_evidence_about ON payments.payout_evidence (payout, seen_at);
"""

_CUSTODY = """
CREATE TABLE payments.custody_account (
    mode text NOT NULL CHECK (mode IN ('live', 'sandbox')),
    currency text NOT NULL,
    account text NOT NULL,
    own_account text NOT NULL CHECK (own_account <> account),
    opened_at timestamptz NOT NULL,
    PRIMARY KEY (mode, currency)
);
COMMENT ON TABLE payments.custody_account IS
    'where the custodian keeps our clients'' funds, and the one account of ours that fees go to';
GRANT SELECT, INSERT ON payments.custody_account TO steelyard_app;

CREATE TABLE payments.custody_statement (
    id uuid PRIMARY KEY,
    mode text NOT NULL,
    currency text NOT NULL,
    on_day date NOT NULL,
    edition integer NOT NULL CHECK (edition > 0),
    name text NOT NULL,
    content_hash bytea NOT NULL CHECK (octet_length(content_hash) = 32),
    opening_minor bigint NOT NULL,
    closing_minor bigint NOT NULL,
    fault text,
    fetched_at timestamptz NOT NULL,
    UNIQUE (mode, currency, on_day, edition),
    UNIQUE (mode, currency, on_day, content_hash)
);
COMMENT ON TABLE payments.custody_statement IS
    'what the custodian says of a day; a corrected file is another edition';
COMMENT ON COLUMN payments.custody_statement.fault IS 'why it cannot be believed; null: it holds';

CREATE TABLE payments.custody_line (
    statement uuid NOT NULL REFERENCES payments.custody_statement,
    no integer NOT NULL CHECK (no > 0),
    kind text NOT NULL,
    amount_minor bigint NOT NULL,
    reference text NOT NULL,
    our_number text NOT NULL,
    counterparty text NOT NULL,
    line_key text NOT NULL,
    PRIMARY KEY (statement, no)
);
COMMENT ON COLUMN payments.custody_line.line_key IS
    'the same line in every edition of a day: it is booked once';

CREATE TABLE payments.custody_booking (
    mode text NOT NULL,
    currency text NOT NULL,
    on_day date NOT NULL,
    line_key text NOT NULL,
    as_what text NOT NULL CHECK (as_what IN ('deposit', 'payout', 'return', 'unclaimed')),
    about text NOT NULL,
    amount_minor bigint NOT NULL,
    entry uuid,
    booked_at timestamptz NOT NULL,
    PRIMARY KEY (mode, currency, on_day, line_key)
);
COMMENT ON TABLE payments.custody_booking IS 'what became of a line of the custodian''s statement';
CREATE INDEX custody_booking_by_about ON payments.custody_booking (about);

CREATE TABLE payments.tie_out (
    id uuid PRIMARY KEY,
    mode text NOT NULL,
    currency text NOT NULL,
    on_day date NOT NULL,
    run integer NOT NULL CHECK (run > 0),
    statement uuid REFERENCES payments.custody_statement,
    owed_minor bigint NOT NULL,
    custody_minor bigint,
    in_transit_minor bigint NOT NULL,
    explained_minor bigint NOT NULL,
    difference_minor bigint,
    holds boolean NOT NULL,
    why text NOT NULL,
    content jsonb NOT NULL,
    made_at timestamptz NOT NULL,
    UNIQUE (mode, currency, on_day, run),
    CHECK (NOT holds OR (difference_minor = 0 AND statement IS NOT NULL))
);
COMMENT ON TABLE payments.tie_out IS
    'what we owe to clients against what the custodian says it holds for them, of a day';

CREATE TABLE payments.payout_stop (
    id uuid PRIMARY KEY,
    mode text NOT NULL,
    currency text NOT NULL,
    tie_out uuid NOT NULL REFERENCES payments.tie_out,
    difference_minor bigint,
    since_at timestamptz NOT NULL,
    lifted_at timestamptz,
    lifted_by text,
    lifted_for text,
    CHECK ((lifted_at IS NULL) = (lifted_by IS NULL) AND (lifted_at IS NULL) = (lifted_for IS NULL))
);
COMMENT ON TABLE payments.payout_stop IS 'no client money leaves while one is open';
CREATE UNIQUE INDEX payout_stop_open ON payments.payout_stop (mode, currency)
    WHERE lifted_at IS NULL;
GRANT SELECT, INSERT ON payments.payout_stop TO steelyard_app;
GRANT UPDATE (lifted_at, lifted_by, lifted_for) ON payments.payout_stop TO steelyard_app;
"""

_DAYS = """
CREATE TABLE payments.day_run (
    mode text NOT NULL CHECK (mode IN ('live', 'sandbox')),
    on_day date NOT NULL,
    step text NOT NULL CHECK (step IN ('trade', 'close', 'statements', 'reconcile', 'settle',
        'tie_out')),
    began_at timestamptz NOT NULL,
    done_at timestamptz,
    content jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (mode, on_day, step)
);
COMMENT ON TABLE payments.day_run IS 'how far a day of the institution was run; each step once';
GRANT SELECT, INSERT ON payments.day_run TO steelyard_app;
GRANT UPDATE (done_at, content) ON payments.day_run TO steelyard_app;
"""

_APPEND_ONLY = (
    "clearing_line",
    "clearing_total",
    "reserve_release",
    "fee_correction",
    "payout_evidence",
    "custody_statement",
    "custody_line",
    "custody_booking",
    "tie_out",
)


def upgrade() -> None:
    """Create the tables."""
    for part in (_CLEARING, _SETTLEMENT, _CUSTODY, _DAYS):
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
        *("day_run", "payout_stop", "tie_out", "custody_booking", "custody_line"),
        *("custody_statement", "custody_account", "payout_evidence", "payout"),
        *("settlement_hold", "settlement", "fee_correction", "reserve_release"),
        *("clearing_total", "clearing_line", "clearing_day"),
    ):
        op.execute(f"DROP TABLE payments.{table}")
    op.execute("DROP INDEX payments.attempt_by_end")
    op.execute("DROP INDEX payments.attempt_reversed")
