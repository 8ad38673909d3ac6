"""payments: refunds, disputes, transfers and splits."""

from alembic import op

revision = "payments_0002"
down_revision = "payments_0001"
branch_labels = None
depends_on = None

_REFUNDS = """
CREATE TABLE payments.refund (
    id uuid PRIMARY KEY,
    order_id uuid NOT NULL REFERENCES payments.order,
    attempt uuid NOT NULL REFERENCES payments.attempt,
    merchant uuid NOT NULL,
    mode text NOT NULL CHECK (mode IN ('live', 'sandbox')),
    refund_no text NOT NULL CHECK (refund_no <> ''),
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    currency text NOT NULL,
    channel text NOT NULL,
    state text NOT NULL CHECK (state IN ('created', 'approval', 'reserved', 'sent', 'processing',
        'unknown', 'succeeded', 'failed', 'closed', 'abnormal', 'returned')),
    version integer NOT NULL DEFAULT 1 CHECK (version > 0),
    asked_at timestamptz NOT NULL,
    asked_by text NOT NULL CHECK (asked_by <> ''),
    reason text NOT NULL,
    is_automatic boolean NOT NULL,
    home text CHECK (home IN ('pending', 'available', 'unclaimed')),
    parts jsonb NOT NULL DEFAULT '{}',
    coupon_minor bigint NOT NULL DEFAULT 0 CHECK (coupon_minor BETWEEN 0 AND amount_minor),
    approval uuid,
    reference text,
    decline text,
    code text,
    sends smallint NOT NULL DEFAULT 0,
    sent_at timestamptz,
    queries smallint NOT NULL DEFAULT 0,
    next_query_at timestamptz,
    visibility_seconds integer NOT NULL DEFAULT 60,
    wait_until_at timestamptz,
    final_at timestamptz,
    fee_returned_minor bigint NOT NULL DEFAULT 0 CHECK (fee_returned_minor >= 0),
    excess_minor bigint NOT NULL DEFAULT 0
        CHECK (excess_minor BETWEEN 0 AND amount_minor),
    destination text,
    metadata jsonb NOT NULL DEFAULT '{}',
    UNIQUE (merchant, mode, refund_no),
    CHECK ((home IS NULL) <= (state IN ('created', 'approval', 'closed'))),
    CHECK ((sends = 0) = (sent_at IS NULL))
) WITH (fillfactor = 70);
COMMENT ON TABLE payments.refund IS 'money that goes back to a payer; its id is the number outside';
COMMENT ON COLUMN payments.refund.refund_no IS 'the merchant''s own; never used twice';
COMMENT ON COLUMN payments.refund.home IS
    'where the money was taken from: what lies in pending is counted when the day is cleared';
COMMENT ON COLUMN payments.refund.parts IS 'split to minor units that its receiver bore of it';
COMMENT ON COLUMN payments.refund.excess_minor IS 'went out beyond what the payment had left';
CREATE UNIQUE INDEX refund_automatic ON payments.refund (attempt) WHERE is_automatic;
CREATE INDEX refund_by_order ON payments.refund (order_id, asked_at);
CREATE INDEX refund_by_merchant ON payments.refund (merchant, asked_at);
CREATE INDEX refund_newest ON payments.refund (asked_at, id);
CREATE INDEX refund_by_query ON payments.refund (next_query_at) WHERE next_query_at IS NOT NULL;
CREATE INDEX refund_waiting ON payments.refund (state, asked_at)
    WHERE state IN ('created', 'approval', 'reserved');
CREATE INDEX refund_by_wait ON payments.refund (wait_until_at) WHERE wait_until_at IS NOT NULL;
CREATE INDEX refund_by_channel ON payments.refund (channel, sent_at);
GRANT SELECT, INSERT, UPDATE ON payments.refund TO steelyard_app;
CREATE INDEX attempt_reversing ON payments.attempt (id)
    WHERE is_reversing AND state = 'succeeded';

CREATE TABLE payments.loss (
    id uuid PRIMARY KEY,
    order_id uuid NOT NULL REFERENCES payments.order,
    merchant uuid NOT NULL,
    mode text NOT NULL CHECK (mode IN ('live', 'sandbox')),
    because text NOT NULL CHECK (because ~ '^(refund|dispute):'),
    bearer text NOT NULL CHECK (bearer IN ('merchant', 'platform')),
    amount_minor bigint NOT NULL CHECK (amount_minor <> 0),
    currency text NOT NULL,
    at timestamptz NOT NULL
);
COMMENT ON TABLE payments.loss IS
    'what left a channel beyond what its payment had; below zero where it came back';
CREATE INDEX loss_by_order ON payments.loss (order_id, at);
CREATE INDEX loss_by_time ON payments.loss (at);
"""

_SPLITS = """
CREATE TABLE payments.split (
    id uuid PRIMARY KEY,
    order_id uuid NOT NULL REFERENCES payments.order,
    receiver text NOT NULL CHECK (receiver <> ''),
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    returned_minor bigint NOT NULL DEFAULT 0 CHECK (returned_minor BETWEEN 0 AND amount_minor),
    currency text NOT NULL,
    state text NOT NULL CHECK (state IN ('planned', 'posted')),
    version integer NOT NULL DEFAULT 1 CHECK (version > 0),
    share_no text NOT NULL CHECK (share_no <> ''),
    planned_at timestamptz NOT NULL,
    posted_at timestamptz,
    UNIQUE (order_id, share_no, receiver),
    CHECK ((state = 'posted') = (posted_at IS NOT NULL))
) WITH (fillfactor = 80);
COMMENT ON TABLE payments.split IS 'what of a payment goes to others than its merchant';
COMMENT ON COLUMN payments.split.state IS
    'planned: it waits until the payment is cleared; nothing of it moved';
COMMENT ON COLUMN payments.split.returned_minor IS 'borne by the receiver of refunds since';
CREATE INDEX split_planned ON payments.split (planned_at) WHERE state = 'planned';
CREATE INDEX order_to_split ON payments.order (paid_at) WHERE splits <> '{}'::jsonb;
GRANT SELECT, INSERT, UPDATE ON payments.split TO steelyard_app;

CREATE TABLE payments.transfer (
    id uuid PRIMARY KEY,
    mode text NOT NULL CHECK (mode IN ('live', 'sandbox')),
    platform uuid NOT NULL,
    transfer_no text NOT NULL CHECK (transfer_no <> ''),
    from_merchant uuid NOT NULL,
    to_merchant uuid NOT NULL CHECK (to_merchant <> from_merchant),
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    currency text NOT NULL,
    reason text NOT NULL,
    returned_minor bigint NOT NULL DEFAULT 0 CHECK (returned_minor BETWEEN 0 AND amount_minor),
    version integer NOT NULL DEFAULT 1 CHECK (version > 0),
    at timestamptz NOT NULL,
    by text NOT NULL CHECK (by <> ''),
    UNIQUE (platform, mode, transfer_no)
);
COMMENT ON TABLE payments.transfer IS 'between merchants of one platform';
CREATE INDEX transfer_by_time ON payments.transfer (at, id);
GRANT SELECT, INSERT ON payments.transfer TO steelyard_app;
GRANT UPDATE (returned_minor, version) ON payments.transfer TO steelyard_app;
"""

_DISPUTES = """
CREATE TABLE payments.dispute (
    id uuid PRIMARY KEY,
    order_id uuid NOT NULL REFERENCES payments.order,
    attempt uuid NOT NULL REFERENCES payments.attempt,
    merchant uuid NOT NULL,
    mode text NOT NULL CHECK (mode IN ('live', 'sandbox')),
    channel text NOT NULL,
    reference text NOT NULL CHECK (reference <> ''),
    reason text NOT NULL,
    state text NOT NULL CHECK (state IN ('inquiry', 'opened', 'evidence_due', 'submitted', 'won',
        'lost', 'accepted', 'expired', 'pre_arbitration', 'arbitration')),
    version integer NOT NULL DEFAULT 1 CHECK (version > 0),
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    currency text NOT NULL,
    money text NOT NULL CHECK (money IN ('none', 'withheld', 'taken')),
    home text CHECK (home IN ('pending', 'available')),
    held_minor bigint NOT NULL DEFAULT 0 CHECK (held_minor BETWEEN 0 AND amount_minor),
    excess_minor bigint NOT NULL DEFAULT 0 CHECK (excess_minor >= 0),
    fee_minor bigint NOT NULL DEFAULT 0 CHECK (fee_minor >= 0),
    opened_at timestamptz NOT NULL,
    due_at timestamptz,
    submitted_at timestamptz,
    decided_at timestamptz,
    UNIQUE (channel, reference),
    CHECK ((money = 'none') = (held_minor + excess_minor = 0))
) WITH (fillfactor = 70);
COMMENT ON TABLE payments.dispute IS 'a payer took a payment to his bank: chargebacks and inquiries';
COMMENT ON COLUMN payments.dispute.held_minor IS 'of the payment, withheld or taken';
COMMENT ON COLUMN payments.dispute.excess_minor IS
    'beyond what the payment had left: a loss when it is taken';
CREATE INDEX dispute_by_order ON payments.dispute (order_id, opened_at);
CREATE INDEX dispute_by_merchant ON payments.dispute (merchant, opened_at);
CREATE INDEX dispute_newest ON payments.dispute (opened_at, id);
CREATE INDEX dispute_due ON payments.dispute (due_at)
    WHERE state IN ('inquiry', 'opened', 'evidence_due');
GRANT SELECT, INSERT, UPDATE ON payments.dispute TO steelyard_app;

CREATE TABLE payments.dispute_evidence (
    id uuid PRIMARY KEY,
    dispute uuid NOT NULL REFERENCES payments.dispute,
    kind text NOT NULL CHECK (kind ~ '^[a-z][a-z0-9_]{0,39}$'),
    text text NOT NULL,
    reference text NOT NULL,
    content_hash bytea CHECK (octet_length(content_hash) = 32),
    at timestamptz NOT NULL,
    by text NOT NULL CHECK (by <> ''),
    CHECK (text <> '' OR reference <> ''),
    CHECK ((reference = '') = (content_hash IS NULL))
);
COMMENT ON TABLE payments.dispute_evidence IS 'what a merchant says for himself: texts, and files by reference';
CREATE INDEX dispute_evidence_by_dispute ON payments.dispute_evidence (dispute, at);

CREATE TABLE payments.dispute_step (
    dispute uuid NOT NULL REFERENCES payments.dispute,
    version integer NOT NULL CHECK (version > 0),
    said text NOT NULL,
    state text NOT NULL,
    money text NOT NULL,
    held_minor bigint NOT NULL,
    note text NOT NULL,
    source text NOT NULL,
    at timestamptz NOT NULL,
    by text NOT NULL CHECK (by <> ''),
    PRIMARY KEY (dispute, version)
);
COMMENT ON TABLE payments.dispute_step IS 'the life of a dispute, step by step';
"""

_APPEND_ONLY = ("loss", "dispute_evidence", "dispute_step")


def upgrade() -> None:
    """Create the tables."""
    for part in (_REFUNDS, _SPLITS, _DISPUTES):
        op.execute(part)
    for table in _APPEND_ONLY:
        op.execute(
            f"GRANT SELECT, INSERT ON payments.{table} TO steelyard_app;"
            f" CREATE TRIGGER {table}_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE"
            f" ON payments.{table} FOR EACH STATEMENT EXECUTE FUNCTION base.refuse_change();"
        )


def downgrade() -> None:
    """Drop them."""
    op.execute("DROP INDEX payments.order_to_split, payments.attempt_reversing")
    for table in (
        *("dispute_step", "dispute_evidence", "dispute"),
        *("transfer", "split", "loss", "refund"),
    ):
        op.execute(f"DROP TABLE payments.{table}")
