"""decisions: versions of policies, how scenes stand, lists, snoozes, switches, shadow runs."""

from alembic import op

revision = "decisions_0003"
down_revision = "decisions_0002"
branch_labels = None
depends_on = None

_POLICIES = """
CREATE TABLE decisions.policy (
    scene text COLLATE "C" NOT NULL CHECK (scene ~ '^[a-z][a-z0-9_]{0,59}$'),
    version integer NOT NULL CHECK (version > 0),
    source text NOT NULL,
    hash text COLLATE "C" NOT NULL,
    fails text COLLATE "C" NOT NULL CHECK (fails IN ('open', 'closed')),
    examples text NOT NULL,
    budget jsonb,
    note text NOT NULL,
    findings jsonb NOT NULL,
    committed_by text NOT NULL,
    committed_at timestamptz NOT NULL,
    PRIMARY KEY (scene, version)
);
COMMENT ON TABLE decisions.policy IS 'what was committed; never changed';
COMMENT ON COLUMN decisions.policy.budget IS
    'how much each of its rules may turn down before it is stopped; null: no rule is stopped';
CREATE TRIGGER policy_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON decisions.policy
    FOR EACH STATEMENT EXECUTE FUNCTION base.refuse_change();
GRANT SELECT, INSERT ON decisions.policy TO steelyard_app;

CREATE TABLE decisions.policy_draft (
    scene text COLLATE "C" PRIMARY KEY,
    source text NOT NULL,
    fails text COLLATE "C" NOT NULL CHECK (fails IN ('open', 'closed')),
    examples text NOT NULL,
    budget jsonb,
    note text NOT NULL,
    drafted_by text NOT NULL,
    drafted_at timestamptz NOT NULL
);
GRANT SELECT, INSERT, UPDATE, DELETE ON decisions.policy_draft TO steelyard_app;

CREATE TABLE decisions.standing (
    scene text COLLATE "C" PRIMARY KEY,
    active integer NOT NULL,
    challenger integer,
    experiment text,
    experiment_version integer,
    FOREIGN KEY (scene, active) REFERENCES decisions.policy (scene, version),
    FOREIGN KEY (scene, challenger) REFERENCES decisions.policy (scene, version),
    CHECK (challenger <> active),
    CHECK ((challenger IS NULL) = (experiment IS NULL)),
    CHECK ((challenger IS NULL) = (experiment_version IS NULL))
);
GRANT SELECT, INSERT, UPDATE ON decisions.standing TO steelyard_app;

CREATE TABLE decisions.promotion (
    id uuid PRIMARY KEY,
    scene text COLLATE "C" NOT NULL,
    version integer NOT NULL,
    before integer,
    how text COLLATE "C" NOT NULL CHECK (how IN ('install', 'promote', 'roll_back')),
    cause text NOT NULL,
    by text NOT NULL,
    at timestamptz NOT NULL,
    number bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    FOREIGN KEY (scene, version) REFERENCES decisions.policy (scene, version)
);
CREATE INDEX promotion_by_scene ON decisions.promotion (scene, number);
CREATE TRIGGER promotion_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON decisions.promotion
    FOR EACH STATEMENT EXECUTE FUNCTION base.refuse_change();
GRANT SELECT, INSERT ON decisions.promotion TO steelyard_app;
"""

_GUARDS = """
CREATE TABLE decisions.stopped_rule (
    scene text COLLATE "C" NOT NULL,
    rule text COLLATE "C" NOT NULL CHECK (rule <> '' AND position(',' IN rule) = 0),
    reason text NOT NULL CHECK (reason <> ''),
    stopped_by text NOT NULL,
    stopped_at timestamptz NOT NULL,
    cursor bigint NOT NULL,
    seen bigint NOT NULL DEFAULT 0,
    hits bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (scene, rule)
);
COMMENT ON COLUMN decisions.stopped_rule.hits IS
    'decisions since it was stopped that it would have had a part in turning down, of those seen';
GRANT SELECT, INSERT, UPDATE, DELETE ON decisions.stopped_rule TO steelyard_app;

CREATE TABLE decisions.snooze (
    id uuid PRIMARY KEY,
    scene text COLLATE "C" NOT NULL,
    rule text COLLATE "C" NOT NULL CHECK (rule <> '' AND position(',' IN rule) = 0),
    subject text COLLATE "C" NOT NULL,
    until_at timestamptz NOT NULL,
    reason text NOT NULL CHECK (reason <> ''),
    snoozed_by text NOT NULL,
    snoozed_at timestamptz NOT NULL CHECK (snoozed_at < until_at),
    ended_by text,
    ended_at timestamptz,
    CHECK ((ended_by IS NULL) = (ended_at IS NULL))
);
CREATE UNIQUE INDEX snooze_running ON decisions.snooze (scene, subject, rule)
    WHERE ended_at IS NULL;
GRANT SELECT, INSERT, UPDATE ON decisions.snooze TO steelyard_app;

CREATE TABLE decisions.kill_switch (
    subject text COLLATE "C" PRIMARY KEY,
    thrown_by text,
    thrown_at timestamptz,
    until_at timestamptz,
    reason text NOT NULL,
    version integer NOT NULL CHECK (version > 0),
    CHECK ((thrown_by IS NULL) = (thrown_at IS NULL))
);
GRANT SELECT, INSERT, UPDATE ON decisions.kill_switch TO steelyard_app;
"""

_LISTS = """
CREATE TABLE decisions.list (
    name text COLLATE "C" PRIMARY KEY CHECK (name ~ '^[a-z][a-z0-9_]{0,59}$'),
    means text COLLATE "C" NOT NULL CHECK (means IN ('block', 'allow', 'watch')),
    field text COLLATE "C" NOT NULL,
    entered_at timestamptz NOT NULL
);
COMMENT ON TABLE decisions.list IS 'the kept lists that committed policies ask';
GRANT SELECT, INSERT ON decisions.list TO steelyard_app;

CREATE TABLE decisions.list_entry (
    list text COLLATE "C" NOT NULL REFERENCES decisions.list,
    value text COLLATE "C" NOT NULL CHECK (value <> ''),
    until_at timestamptz,
    reason text NOT NULL CHECK (reason <> ''),
    added_by text NOT NULL,
    added_at timestamptz NOT NULL CHECK (added_at < until_at),
    PRIMARY KEY (list, value)
);
CREATE INDEX list_entry_by_end ON decisions.list_entry (until_at) WHERE until_at IS NOT NULL;
GRANT SELECT, INSERT, UPDATE, DELETE ON decisions.list_entry TO steelyard_app;

CREATE TABLE decisions.roster (
    only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    version bigint NOT NULL
);
COMMENT ON TABLE decisions.roster IS
    'grows with every change of what judges whom; the owner looks at it';
INSERT INTO decisions.roster (version) VALUES (0);
GRANT SELECT, UPDATE ON decisions.roster TO steelyard_app;
"""

_SHADOWS = """
CREATE TABLE decisions.shadow (
    scene text COLLATE "C" NOT NULL,
    version integer NOT NULL,
    first_number bigint NOT NULL,
    cursor bigint NOT NULL,
    live_from bigint NOT NULL,
    started_by text NOT NULL,
    started_at timestamptz NOT NULL,
    ended_at timestamptz,
    PRIMARY KEY (scene, version),
    FOREIGN KEY (scene, version) REFERENCES decisions.policy (scene, version)
);
COMMENT ON COLUMN decisions.shadow.cursor IS 'number of the last decision it was asked about';
COMMENT ON COLUMN decisions.shadow.live_from IS
    'from this number on what it reads is recorded; before, only what others read';
GRANT SELECT, INSERT, UPDATE ON decisions.shadow TO steelyard_app;

CREATE TABLE decisions.shadow_tally (
    scene text COLLATE "C" NOT NULL,
    version integer NOT NULL,
    said text COLLATE "C" NOT NULL,
    would_say text COLLATE "C" NOT NULL,
    decisions bigint NOT NULL,
    unrecorded bigint NOT NULL,
    PRIMARY KEY (scene, version, said, would_say),
    FOREIGN KEY (scene, version) REFERENCES decisions.shadow
);
COMMENT ON COLUMN decisions.shadow_tally.unrecorded IS
    'how many of them lacked a value that it reads, because nobody read it at the time';
GRANT SELECT, INSERT, UPDATE, DELETE ON decisions.shadow_tally TO steelyard_app;

CREATE TABLE decisions.shadow_lack (
    scene text COLLATE "C" NOT NULL,
    version integer NOT NULL,
    name text COLLATE "C" NOT NULL,
    decisions bigint NOT NULL,
    PRIMARY KEY (scene, version, name),
    FOREIGN KEY (scene, version) REFERENCES decisions.shadow
);
GRANT SELECT, INSERT, UPDATE, DELETE ON decisions.shadow_lack TO steelyard_app;

CREATE TABLE decisions.shadow_difference (
    scene text COLLATE "C" NOT NULL,
    version integer NOT NULL,
    decision_id uuid NOT NULL REFERENCES decisions.log (id),
    said text COLLATE "C" NOT NULL,
    would_say text COLLATE "C" NOT NULL,
    score integer,
    reasons text[] NOT NULL,
    number bigint NOT NULL,
    PRIMARY KEY (scene, version, decision_id),
    FOREIGN KEY (scene, version) REFERENCES decisions.shadow
);
CREATE INDEX shadow_difference_newest ON decisions.shadow_difference (scene, version, number);
GRANT SELECT, INSERT, DELETE ON decisions.shadow_difference TO steelyard_app;

CREATE TABLE decisions.challenge (
    experiment text COLLATE "C" NOT NULL,
    experiment_version integer NOT NULL,
    scene text COLLATE "C" NOT NULL,
    challenger integer NOT NULL,
    against integer NOT NULL,
    watched_ms bigint NOT NULL CHECK (watched_ms > 0),
    delay_ms bigint NOT NULL CHECK (delay_ms >= 0),
    cursor bigint NOT NULL,
    PRIMARY KEY (experiment, experiment_version),
    FOREIGN KEY (scene, challenger) REFERENCES decisions.policy (scene, version),
    FOREIGN KEY (scene, against) REFERENCES decisions.policy (scene, version)
);
COMMENT ON COLUMN decisions.challenge.watched_ms IS
    'for how long from its first decision on what becomes of a subject counts';
COMMENT ON COLUMN decisions.challenge.delay_ms IS
    'how long after that is waited for labels, before it is written down for good';
GRANT SELECT, INSERT, UPDATE ON decisions.challenge TO steelyard_app;

CREATE TABLE decisions.challenged (
    experiment text COLLATE "C" NOT NULL,
    experiment_version integer NOT NULL,
    subject text COLLATE "C" NOT NULL,
    first_number bigint NOT NULL,
    first_at_ms bigint NOT NULL,
    is_settled boolean NOT NULL DEFAULT false,
    PRIMARY KEY (experiment, experiment_version, subject),
    FOREIGN KEY (experiment, experiment_version) REFERENCES decisions.challenge
);
CREATE INDEX challenged_open ON decisions.challenged (experiment, experiment_version, first_at_ms)
    WHERE NOT is_settled;
GRANT SELECT, INSERT, UPDATE ON decisions.challenged TO steelyard_app;
"""


def upgrade() -> None:
    for part in (_POLICIES, _GUARDS, _LISTS, _SHADOWS):
        op.execute(part)
