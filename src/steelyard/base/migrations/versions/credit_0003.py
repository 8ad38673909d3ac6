"""credit: the bureau, messages, collections and what customers bring up."""

from alembic import op

revision = "credit_0003"
down_revision = "credit_0002"
branch_labels = None
depends_on = None

_BUREAU = """
CREATE TABLE credit.bureau_inquiry (
    id uuid PRIMARY KEY,
    party uuid NOT NULL,
    bureau text NOT NULL CHECK (bureau <> ''),
    why text NOT NULL CHECK (why IN ('application', 'limit', 'monitoring')),
    person bytea NOT NULL CHECK (octet_length(person) = 32),
    consent_version integer NOT NULL CHECK (consent_version > 0),
    consent_hash bytea NOT NULL CHECK (octet_length(consent_hash) = 32),
    consent_at timestamptz NOT NULL,
    state text NOT NULL CHECK (
        state IN ('intended', 'answered', 'unknown', 'void', 'disputed')),
    version integer NOT NULL DEFAULT 1 CHECK (version > 0),
    started_at timestamptz NOT NULL,
    started_wall_at timestamptz NOT NULL,
    asked_wall_at timestamptz NOT NULL,
    actor text NOT NULL CHECK (actor <> ''),
    CHECK (consent_at <= started_at)
) WITH (fillfactor = 80);
COMMENT ON TABLE credit.bureau_inquiry IS 'questions to a bureau, each with the consent it rests on';
COMMENT ON COLUMN credit.bureau_inquiry.person IS
    'keyed hash of the name and number asked about; an answer about somebody else differs';
CREATE UNIQUE INDEX bureau_inquiry_under_way ON credit.bureau_inquiry (party, bureau)
    WHERE state IN ('intended', 'unknown');
CREATE INDEX bureau_inquiry_by_party ON credit.bureau_inquiry (party, started_at);
CREATE INDEX bureau_inquiry_to_poll ON credit.bureau_inquiry (asked_wall_at)
    WHERE state IN ('intended', 'unknown');
GRANT SELECT, INSERT ON credit.bureau_inquiry TO steelyard_app;
GRANT UPDATE (state, version, asked_wall_at) ON credit.bureau_inquiry TO steelyard_app;

CREATE TABLE credit.bureau_evidence (
    inquiry uuid NOT NULL REFERENCES credit.bureau_inquiry,
    sequence integer NOT NULL CHECK (sequence > 0),
    source text NOT NULL CHECK (source IN ('answer', 'poll')),
    found text NOT NULL CHECK (
        found IN ('hit', 'thin_file', 'no_file', 'unknown', 'not_received')),
    reason text NOT NULL,
    reference text NOT NULL,
    report jsonb,
    recorded_at timestamptz NOT NULL,
    PRIMARY KEY (inquiry, sequence),
    CHECK ((report IS NOT NULL) = (found IN ('hit', 'thin_file')))
);

CREATE TABLE credit.bureau_file (
    period text PRIMARY KEY CHECK (period ~ '^[0-9]{4}-(0[1-9]|1[0-2])$'),
    institution text NOT NULL CHECK (institution ~ '^[A-Z0-9]+$'),
    as_of date NOT NULL,
    rows integer NOT NULL CHECK (rows >= 0),
    balance_minor bigint NOT NULL,
    overdue_minor bigint NOT NULL,
    sha256 text NOT NULL CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    made_at timestamptz NOT NULL
);
COMMENT ON COLUMN credit.bureau_file.sha256 IS 'of the bytes, which its rows make again';

CREATE TABLE credit.bureau_row (
    period text NOT NULL REFERENCES credit.bureau_file,
    nr bigint NOT NULL REFERENCES credit.loan (nr),
    kind text NOT NULL CHECK (kind IN ('normal', 'correction', 'delete')),
    customer uuid NOT NULL,
    opened_on date NOT NULL,
    currency text NOT NULL,
    state text NOT NULL CHECK (state IN ('open', 'overdue', 'written_off', 'closed', 'sold')),
    amount_minor bigint NOT NULL CHECK (amount_minor >= 0),
    balance_minor bigint NOT NULL CHECK (balance_minor >= 0),
    overdue_minor bigint NOT NULL CHECK (overdue_minor >= 0),
    dpd integer NOT NULL CHECK (dpd >= 0),
    category smallint NOT NULL CHECK (category BETWEEN 0 AND 4),
    history text NOT NULL CHECK (history ~ '^[/N1-7CG#*]{24}$'),
    is_disputed boolean NOT NULL,
    PRIMARY KEY (period, nr)
);
CREATE INDEX bureau_row_by_loan ON credit.bureau_row (nr, period);

CREATE TABLE credit.bureau_delivery (
    sequence bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    period text NOT NULL REFERENCES credit.bureau_file,
    bureau text NOT NULL,
    state text NOT NULL CHECK (state IN ('accepted', 'rejected', 'unknown')),
    sha256 text NOT NULL,
    rows integer NOT NULL,
    reason text NOT NULL,
    at timestamptz NOT NULL
);

CREATE TABLE credit.bureau_correction (
    id uuid PRIMARY KEY,
    nr bigint NOT NULL REFERENCES credit.loan (nr),
    month text CHECK (month ~ '^[0-9]{4}-(0[1-9]|1[0-2])$'),
    status text CHECK (status ~ '^[N1-7CG#*]$'),
    after_period text REFERENCES credit.bureau_file,
    cause text NOT NULL CHECK (cause ~ '^[a-z_]+:.'),
    at timestamptz NOT NULL,
    by text NOT NULL CHECK (by <> ''),
    CHECK ((month IS NULL) = (status IS NULL))
);
COMMENT ON COLUMN credit.bureau_correction.after_period IS
    'the newest file when it was made: the next one is the first to tell it';
COMMENT ON COLUMN credit.bureau_correction.month IS
    'which month of the history says another status from now on; null: the account is deleted';
CREATE INDEX bureau_correction_by_loan ON credit.bureau_correction (nr, at);
"""

_MESSAGES = """
CREATE TABLE credit.message (
    id uuid PRIMARY KEY,
    act text NOT NULL UNIQUE CHECK (act ~ '^[a-z_]+:.'),
    party uuid NOT NULL,
    channel text NOT NULL CHECK (channel IN ('sms', 'app', 'call', 'letter')),
    template text NOT NULL,
    template_version integer NOT NULL CHECK (template_version > 0),
    content jsonb NOT NULL,
    language text NOT NULL,
    gateway text NOT NULL,
    state text NOT NULL CHECK (state IN (
        'intended', 'accepted', 'delivered', 'failed', 'unknown', 'void', 'disputed')),
    version integer NOT NULL DEFAULT 1 CHECK (version > 0),
    started_at timestamptz NOT NULL,
    started_wall_at timestamptz NOT NULL,
    asked_wall_at timestamptz NOT NULL,
    actor text NOT NULL CHECK (actor <> '')
) WITH (fillfactor = 80);
COMMENT ON COLUMN credit.message.act IS 'what it is sent for: an act sends one message, once';
COMMENT ON COLUMN credit.message.content IS 'values of the template; no personal data';
CREATE INDEX message_by_party ON credit.message (party, started_at);
CREATE INDEX message_to_poll ON credit.message (asked_wall_at)
    WHERE state IN ('intended', 'accepted', 'unknown');
GRANT SELECT, INSERT ON credit.message TO steelyard_app;
GRANT UPDATE (state, version, asked_wall_at) ON credit.message TO steelyard_app;

CREATE TABLE credit.message_receipt (
    message uuid NOT NULL REFERENCES credit.message,
    sequence integer NOT NULL CHECK (sequence > 0),
    source text NOT NULL CHECK (source IN ('answer', 'poll')),
    told text NOT NULL CHECK (
        told IN ('accepted', 'delivered', 'failed', 'unknown', 'not_received')),
    reason text NOT NULL,
    reference text NOT NULL,
    recorded_at timestamptz NOT NULL,
    PRIMARY KEY (message, sequence)
);
"""

_COLLECTIONS = """
CREATE TABLE credit.collection_episode (
    id uuid PRIMARY KEY,
    nr bigint NOT NULL REFERENCES credit.loan (nr),
    party uuid NOT NULL,
    opened_on date NOT NULL,
    strategy text NOT NULL,
    experiment text,
    experiment_version integer,
    worst_dpd integer NOT NULL CHECK (worst_dpd > 0),
    state text NOT NULL CHECK (state IN ('open', 'cured', 'ended')),
    ended_on date,
    outcome_on date,
    case_id uuid,
    version integer NOT NULL DEFAULT 1 CHECK (version > 0),
    CHECK ((experiment IS NULL) = (experiment_version IS NULL)),
    CHECK ((state = 'open') = (ended_on IS NULL))
) WITH (fillfactor = 70);
COMMENT ON TABLE credit.collection_episode IS 'one spell of a loan being late, under one strategy';
COMMENT ON COLUMN credit.collection_episode.outcome_on IS
    'when the experiment was told how it went; null: not yet, or there is none';
CREATE UNIQUE INDEX collection_episode_open ON credit.collection_episode (nr)
    WHERE state = 'open';
CREATE INDEX collection_episode_by_party ON credit.collection_episode (party, opened_on);
CREATE INDEX collection_episode_to_tell ON credit.collection_episode (opened_on)
    WHERE experiment IS NOT NULL AND outcome_on IS NULL;
GRANT SELECT, INSERT ON credit.collection_episode TO steelyard_app;
GRANT UPDATE (worst_dpd, state, ended_on, outcome_on, case_id, version)
    ON credit.collection_episode TO steelyard_app;

CREATE TABLE credit.contact (
    id uuid PRIMARY KEY,
    nr bigint NOT NULL REFERENCES credit.loan (nr),
    party uuid NOT NULL,
    episode uuid REFERENCES credit.collection_episode,
    step text,
    channel text NOT NULL CHECK (channel IN ('sms', 'app', 'call', 'letter')),
    is_ours boolean NOT NULL,
    template text,
    refused text,
    at timestamptz NOT NULL,
    zone text NOT NULL,
    actor text NOT NULL CHECK (actor <> ''),
    UNIQUE (episode, step)
);
COMMENT ON TABLE credit.contact IS
    'every contact about a late loan, and every one that was refused; its id is the message''s act';
COMMENT ON COLUMN credit.contact.is_ours IS 'false: the customer came to us';
COMMENT ON COLUMN credit.contact.refused IS 'code of the refusal: nobody was contacted';
CREATE INDEX contact_by_party ON credit.contact (party, at);
CREATE INDEX contact_by_loan ON credit.contact (nr, at);

CREATE TABLE credit.contact_result (
    contact uuid PRIMARY KEY REFERENCES credit.contact,
    result text NOT NULL CHECK (result IN (
        'delivered', 'failed', 'void', 'reached', 'no_answer', 'wrong_person', 'promised',
        'hardship', 'disputes', 'deceased')),
    at timestamptz NOT NULL,
    by text NOT NULL CHECK (by <> '')
);

CREATE TABLE credit.collection_stop (
    id uuid PRIMARY KEY,
    party uuid NOT NULL,
    nr bigint REFERENCES credit.loan (nr),
    kind text NOT NULL CHECK (kind IN ('hardship', 'dispute', 'repudiation', 'deceased')),
    source text NOT NULL CHECK (source ~ '^[a-z_]+:.'),
    since_at timestamptz NOT NULL,
    by text NOT NULL CHECK (by <> ''),
    lifted_at timestamptz,
    lifted_by text,
    lifted_for text,
    CHECK ((lifted_at IS NULL) = (lifted_by IS NULL) AND (lifted_at IS NULL) = (lifted_for IS NULL))
);
COMMENT ON COLUMN credit.collection_stop.nr IS 'null: every loan of the party';
CREATE UNIQUE INDEX collection_stop_once ON credit.collection_stop (kind, source)
    WHERE lifted_at IS NULL;
CREATE INDEX collection_stop_by_party ON credit.collection_stop (party) WHERE lifted_at IS NULL;
GRANT SELECT, INSERT ON credit.collection_stop TO steelyard_app;
GRANT UPDATE (lifted_at, lifted_by, lifted_for) ON credit.collection_stop TO steelyard_app;

CREATE TABLE credit.promise (
    id uuid PRIMARY KEY,
    nr bigint NOT NULL REFERENCES credit.loan (nr),
    party uuid NOT NULL,
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    made_on date NOT NULL,
    by_on date NOT NULL CHECK (by_on >= made_on),
    events integer NOT NULL CHECK (events >= 0),
    state text NOT NULL CHECK (state IN ('open', 'kept', 'partly', 'broken', 'withdrawn')),
    paid_minor bigint NOT NULL DEFAULT 0 CHECK (paid_minor >= 0),
    judged_on date,
    version integer NOT NULL DEFAULT 1 CHECK (version > 0),
    taken_by text NOT NULL CHECK (taken_by <> ''),
    CHECK ((state = 'open') = (judged_on IS NULL))
) WITH (fillfactor = 80);
COMMENT ON COLUMN credit.promise.events IS
    'events of the loan when it was given: only what came after counts as paid for it';
CREATE UNIQUE INDEX promise_open ON credit.promise (nr) WHERE state = 'open';
CREATE INDEX promise_by_loan ON credit.promise (nr, made_on);
GRANT SELECT, INSERT ON credit.promise TO steelyard_app;
GRANT UPDATE (state, paid_minor, judged_on, version) ON credit.promise TO steelyard_app;

CREATE TABLE credit.hardship (
    id uuid PRIMARY KEY,
    nr bigint NOT NULL REFERENCES credit.loan (nr),
    party uuid NOT NULL,
    plan jsonb NOT NULL,
    reason text NOT NULL CHECK (reason <> ''),
    approval uuid NOT NULL,
    state text NOT NULL CHECK (state IN ('proposed', 'granted', 'dropped')),
    proposed_at timestamptz NOT NULL,
    proposed_by text NOT NULL CHECK (proposed_by <> ''),
    settled_at timestamptz,
    version integer NOT NULL DEFAULT 1 CHECK (version > 0),
    CHECK ((state = 'proposed') = (settled_at IS NULL))
);
CREATE UNIQUE INDEX hardship_open ON credit.hardship (nr) WHERE state = 'proposed';
CREATE UNIQUE INDEX hardship_by_approval ON credit.hardship (approval);
GRANT SELECT, INSERT ON credit.hardship TO steelyard_app;
GRANT UPDATE (state, settled_at, version) ON credit.hardship TO steelyard_app;
"""

_MATTERS = """
CREATE TABLE credit.matter (
    id uuid PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('complaint', 'repudiation', 'bureau_dispute')),
    nr bigint NOT NULL REFERENCES credit.loan (nr),
    party uuid NOT NULL,
    about text NOT NULL CHECK (about <> ''),
    case_id uuid NOT NULL,
    received_at timestamptz NOT NULL,
    received_on date NOT NULL,
    due_on date NOT NULL CHECK (due_on >= received_on),
    rule text NOT NULL CHECK (rule <> ''),
    extended integer NOT NULL DEFAULT 0 CHECK (extended >= 0),
    state text NOT NULL CHECK (state IN ('open', 'upheld', 'partly', 'refused', 'withdrawn')),
    answer jsonb,
    answered_at timestamptz,
    answered_by text,
    cause text,
    version integer NOT NULL DEFAULT 1 CHECK (version > 0),
    CHECK ((state = 'open') = (answer IS NULL) AND (state = 'open') = (answered_at IS NULL)
        AND (state = 'open') = (answered_by IS NULL))
) WITH (fillfactor = 80);
COMMENT ON TABLE credit.matter IS 'what a customer brings up, with the day by which it is answered';
COMMENT ON COLUMN credit.matter.rule IS 'which dated rule set the day';
CREATE UNIQUE INDEX matter_open ON credit.matter (nr, kind) WHERE state = 'open';
CREATE INDEX matter_by_loan ON credit.matter (nr, received_at);
CREATE INDEX matter_due ON credit.matter (due_on) WHERE state = 'open';
GRANT SELECT, INSERT ON credit.matter TO steelyard_app;
GRANT UPDATE (due_on, rule, extended, state, answer, answered_at, answered_by, cause, version)
    ON credit.matter TO steelyard_app;

CREATE TABLE credit.matter_evidence (
    matter uuid NOT NULL REFERENCES credit.matter,
    kind text NOT NULL CHECK (kind ~ '^[a-z][a-z0-9_]{0,39}$'),
    reference text NOT NULL CHECK (reference ~ '^[a-z][a-z0-9_]*:.'),
    content_hash bytea NOT NULL CHECK (octet_length(content_hash) = 32),
    at timestamptz NOT NULL,
    by text NOT NULL CHECK (by <> ''),
    PRIMARY KEY (matter, kind, reference, content_hash)
);
"""

_APPEND_ONLY = (
    "bureau_evidence",
    "bureau_file",
    "bureau_row",
    "bureau_delivery",
    "bureau_correction",
    "message_receipt",
    "contact",
    "contact_result",
    "matter_evidence",
)


def upgrade() -> None:
    """Create the tables of the world outside."""
    for part in (_BUREAU, _MESSAGES, _COLLECTIONS, _MATTERS):
        op.execute(part)
    for table in _APPEND_ONLY:
        op.execute(
            f"GRANT SELECT, INSERT ON credit.{table} TO steelyard_app;"
            f" CREATE TRIGGER {table}_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE"
            f" ON credit.{table} FOR EACH STATEMENT EXECUTE FUNCTION base.refuse_change();"
        )


def downgrade() -> None:
    """Drop them."""
    for table in (
        *("matter_evidence", "matter", "hardship", "promise", "collection_stop"),
        *("contact_result", "contact", "collection_episode", "message_receipt", "message"),
        *("bureau_correction", "bureau_delivery", "bureau_row", "bureau_file"),
        *("bureau_evidence", "bureau_inquiry"),
    ):
        op.execute(f"DROP TABLE credit.{table}")
