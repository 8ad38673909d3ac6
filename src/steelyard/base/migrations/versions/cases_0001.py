"""cases: the queue, its history, signals, notes, evidence, links and closings."""

from alembic import op

revision = "cases_0001"
down_revision = None
branch_labels = ("cases",)
depends_on = ("base_0002", "parties_0002")

QUEUE = """
CREATE SCHEMA cases;
GRANT USAGE ON SCHEMA cases TO steelyard_app;

CREATE TABLE cases.case_file (
    id uuid PRIMARY KEY,
    kind text NOT NULL CHECK (kind ~ '^[a-z][a-z0-9_]*[.][a-z][a-z0-9_]*$'),
    subject text NOT NULL CHECK (subject ~ '^[a-z][a-z0-9_]*:.'),
    dedup_key text NOT NULL CHECK (dedup_key <> ''),
    state text NOT NULL CHECK (state IN ('open', 'claimed', 'awaiting_approval', 'closed')),
    version bigint NOT NULL DEFAULT 1 CHECK (version > 0),
    priority smallint NOT NULL CHECK (priority BETWEEN 1 AND 4),
    skill text NOT NULL CHECK (skill ~ '^[a-z][a-z0-9_]*[.][a-z][a-z0-9_]*$'),
    amber_at timestamptz NOT NULL,
    red_at timestamptz NOT NULL CHECK (red_at >= amber_at),
    due_at timestamptz NOT NULL CHECK (due_at >= red_at),
    colour text NOT NULL CHECK (colour IN ('green', 'amber', 'red')),
    next_mark_at timestamptz,
    breached_at timestamptz,
    opened_at timestamptz NOT NULL,
    opened_by text NOT NULL CHECK (opened_by <> ''),
    signals integer NOT NULL DEFAULT 1 CHECK (signals > 0),
    signalled_at timestamptz,
    group_name text,
    event_kind text,
    event_id text,
    kept_from text[] NOT NULL DEFAULT '{}',
    claimed_by text CHECK (claimed_by ~ '^staff:.'),
    claimed_at timestamptz,
    claimed_until_wall_at timestamptz,
    proposed_outcome text,
    proposed_by text,
    approval uuid,
    outcome text,
    closed_by text,
    closed_at timestamptz,
    approved_by text CHECK (approved_by <> closed_by),
    reopened integer NOT NULL DEFAULT 0 CHECK (reopened >= 0),
    CHECK ((event_kind IS NULL) = (event_id IS NULL)),
    CHECK ((state = 'claimed') = (claimed_by IS NOT NULL)),
    CHECK ((claimed_by IS NULL) = (claimed_at IS NULL)
        AND (claimed_by IS NULL) = (claimed_until_wall_at IS NULL)),
    CHECK ((state = 'awaiting_approval') = (approval IS NOT NULL)),
    CHECK ((approval IS NULL) = (proposed_outcome IS NULL)
        AND (approval IS NULL) = (proposed_by IS NULL)),
    CHECK ((state = 'closed') = (closed_at IS NOT NULL)),
    CHECK ((closed_at IS NULL) = (outcome IS NULL) AND (closed_at IS NULL) = (closed_by IS NULL)),
    CHECK (NOT claimed_by = ANY (kept_from)),
    CHECK (state <> 'closed' OR next_mark_at IS NULL)
) WITH (fillfactor = 70);
COMMENT ON COLUMN cases.case_file.skill IS 'entitlement of those who may work it';
COMMENT ON COLUMN cases.case_file.next_mark_at IS
    'when time changes the case next: amber, red, due; null when nothing is left to come';
CREATE UNIQUE INDEX case_of_one_matter ON cases.case_file (kind, dedup_key)
    WHERE state <> 'closed';
CREATE INDEX case_queue ON cases.case_file (priority DESC, opened_at, id)
    WHERE state IN ('open', 'claimed');
CREATE INDEX case_to_turn ON cases.case_file (next_mark_at) WHERE next_mark_at IS NOT NULL;
CREATE INDEX case_to_lapse ON cases.case_file (claimed_until_wall_at) WHERE state = 'claimed';
CREATE INDEX case_by_subject ON cases.case_file (subject, id);
CREATE INDEX case_by_assignee ON cases.case_file (claimed_by, id) WHERE claimed_by IS NOT NULL;
CREATE INDEX case_by_state ON cases.case_file (state, id);
GRANT SELECT, INSERT ON cases.case_file TO steelyard_app;
GRANT UPDATE (
    state, version, priority, skill, amber_at, red_at, due_at, colour, next_mark_at, breached_at,
    signals, signalled_at, group_name, claimed_by, claimed_at, claimed_until_wall_at,
    proposed_outcome, proposed_by, approval, outcome, closed_by, closed_at, approved_by, reopened
) ON cases.case_file TO steelyard_app;

CREATE FUNCTION cases.keep_machine() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.version <> OLD.version + 1 THEN
        RAISE EXCEPTION 'case %: version % does not follow %', OLD.id, NEW.version, OLD.version
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.state <> OLD.state AND (OLD.state, NEW.state) NOT IN (
        ('open', 'claimed'), ('open', 'closed'),
        ('claimed', 'open'), ('claimed', 'awaiting_approval'), ('claimed', 'closed'),
        ('awaiting_approval', 'open'), ('awaiting_approval', 'closed'),
        ('closed', 'open'))
    THEN
        RAISE EXCEPTION 'case %: % does not follow %', OLD.id, NEW.state, OLD.state
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER case_keeps_machine BEFORE UPDATE ON cases.case_file
    FOR EACH ROW EXECUTE FUNCTION cases.keep_machine();
"""

TRAIL = """
CREATE TABLE cases.history (
    sequence bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    case_id uuid NOT NULL REFERENCES cases.case_file,
    version bigint NOT NULL,
    at timestamptz NOT NULL,
    wall_at timestamptz NOT NULL,
    actor text NOT NULL CHECK (actor <> ''),
    action text NOT NULL CHECK (action ~ '^[a-z_]+$'),
    before text,
    after text NOT NULL,
    detail jsonb NOT NULL
);
CREATE INDEX history_by_case ON cases.history (case_id, sequence);

CREATE TABLE cases.signal (
    kind text NOT NULL,
    source text NOT NULL,
    case_id uuid NOT NULL REFERENCES cases.case_file,
    at timestamptz NOT NULL,
    PRIMARY KEY (kind, source)
);
COMMENT ON TABLE cases.signal IS 'what signalled a case: sent again, it signals nothing new';
CREATE INDEX signal_by_case ON cases.signal (case_id);

CREATE TABLE cases.note (
    sequence bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    case_id uuid NOT NULL REFERENCES cases.case_file,
    at timestamptz NOT NULL,
    by text NOT NULL,
    text text NOT NULL CHECK (text <> '')
);
CREATE INDEX note_by_case ON cases.note (case_id, sequence);

CREATE TABLE cases.evidence (
    sequence bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    case_id uuid NOT NULL REFERENCES cases.case_file,
    kind text NOT NULL CHECK (kind ~ '^[a-z][a-z0-9_]{0,39}$'),
    reference text NOT NULL CHECK (reference ~ '^[a-z][a-z0-9_]*:.'),
    content_hash bytea NOT NULL CHECK (octet_length(content_hash) = 32),
    at timestamptz NOT NULL,
    by text NOT NULL,
    UNIQUE (case_id, kind, reference, content_hash)
);

CREATE TABLE cases.link (
    case_id uuid NOT NULL REFERENCES cases.case_file,
    target text NOT NULL CHECK (target ~ '^[a-z][a-z0-9_]*:.'),
    at timestamptz NOT NULL,
    by text NOT NULL,
    PRIMARY KEY (case_id, target)
);
CREATE INDEX link_by_target ON cases.link (target, case_id);

CREATE TABLE cases.closing (
    sequence bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    case_id uuid NOT NULL REFERENCES cases.case_file,
    kind text NOT NULL,
    outcome text NOT NULL,
    opened_at timestamptz NOT NULL,
    closed_at timestamptz NOT NULL CHECK (closed_at >= opened_at),
    closed_by text NOT NULL,
    is_within_sla boolean NOT NULL,
    label_field text,
    label_value bigint,
    event_kind text,
    event_id text,
    CHECK ((label_field IS NULL) = (label_value IS NULL))
);
COMMENT ON TABLE cases.closing IS 'each closing of a case; one that was reopened has several';
CREATE INDEX closing_by_time ON cases.closing (closed_at);
CREATE INDEX closing_by_case ON cases.closing (case_id, sequence);
"""

APPEND_ONLY = ("history", "signal", "note", "evidence", "link", "closing")


def upgrade() -> None:
    op.execute(QUEUE)
    op.execute(TRAIL)
    for table in APPEND_ONLY:
        op.execute(
            f"GRANT SELECT, INSERT ON cases.{table} TO steelyard_app;"
            f" CREATE TRIGGER {table}_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE"
            f" ON cases.{table} FOR EACH STATEMENT EXECUTE FUNCTION base.refuse_change();"
        )
