"""decisions: reviews by people, and the watch over drift."""

from alembic import op

revision = "decisions_0004"
down_revision = "decisions_0003"
branch_labels = None
depends_on = None

_REVIEWS = """
CREATE TABLE decisions.review_head (
    shard smallint PRIMARY KEY REFERENCES decisions.owner,
    number bigint NOT NULL CHECK (number >= 0)
);
COMMENT ON TABLE decisions.review_head IS 'the last line of the log that cases were opened from';
GRANT SELECT, INSERT, UPDATE ON decisions.review_head TO steelyard_app;

CREATE TABLE decisions.review (
    decision_id uuid PRIMARY KEY REFERENCES decisions.log (id),
    case_id uuid NOT NULL,
    at timestamptz NOT NULL,
    explanation bytea NOT NULL,
    hash bytea NOT NULL CHECK (hash = sha256(explanation))
);
COMMENT ON TABLE decisions.review IS 'decisions before people, with what explains them';
CREATE INDEX review_by_case ON decisions.review (case_id, at);
CREATE TRIGGER review_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON decisions.review
    FOR EACH STATEMENT EXECUTE FUNCTION base.refuse_change();
GRANT SELECT, INSERT ON decisions.review TO steelyard_app;
"""

_WATCH = """
CREATE INDEX log_by_time ON decisions.log USING brin (at) WITH (pages_per_range = 32);

CREATE TABLE decisions.watch_day (
    scene text COLLATE "C" NOT NULL,
    policy text COLLATE "C" NOT NULL,
    day date NOT NULL,
    decisions bigint NOT NULL CHECK (decisions > 0),
    hits jsonb NOT NULL,
    labels jsonb,
    PRIMARY KEY (scene, policy, day)
);
COMMENT ON TABLE decisions.watch_day IS 'a business day of a policy: how often it decided, which rules hit';
COMMENT ON COLUMN decisions.watch_day.labels IS 'what became known of it, counted once labels had time to come in';
GRANT SELECT, INSERT, UPDATE ON decisions.watch_day TO steelyard_app;

CREATE TABLE decisions.watch_reference (
    scene text COLLATE "C" NOT NULL,
    policy text COLLATE "C" NOT NULL,
    number smallint NOT NULL CHECK (number > 0),
    first_day date NOT NULL,
    last_day date NOT NULL CHECK (last_day >= first_day),
    decisions bigint NOT NULL,
    taken_at timestamptz NOT NULL,
    PRIMARY KEY (scene, policy, number)
);
COMMENT ON TABLE decisions.watch_reference IS 'the days that later ones are compared with; a higher number replaces a lower one';
CREATE TABLE decisions.watch_renewal (
    scene text COLLATE "C" NOT NULL,
    policy text COLLATE "C" NOT NULL,
    first_day date NOT NULL,
    cause text NOT NULL,
    PRIMARY KEY (scene, policy, first_day)
);
COMMENT ON TABLE decisions.watch_renewal IS 'people found a shift to be the new normal: the reference begins anew';
GRANT SELECT, INSERT ON decisions.watch_renewal TO steelyard_app;
CREATE TABLE decisions.watch_bins (
    scene text COLLATE "C" NOT NULL,
    policy text COLLATE "C" NOT NULL,
    number smallint NOT NULL,
    subject text COLLATE "C" NOT NULL,
    edges float8[],
    words text[] COLLATE "C",
    PRIMARY KEY (scene, policy, number, subject),
    FOREIGN KEY (scene, policy, number) REFERENCES decisions.watch_reference,
    CHECK ((edges IS NULL) <> (words IS NULL))
);
CREATE TABLE decisions.watch_count (
    scene text COLLATE "C" NOT NULL,
    policy text COLLATE "C" NOT NULL,
    number smallint NOT NULL,
    day date NOT NULL,
    subject text COLLATE "C" NOT NULL,
    counts bigint[] NOT NULL,
    PRIMARY KEY (scene, policy, number, day, subject),
    FOREIGN KEY (scene, policy, number, subject) REFERENCES decisions.watch_bins
);
COMMENT ON TABLE decisions.watch_count IS 'how many values of a day fell into each bin of the reference; the missing have the last one';
GRANT SELECT, INSERT ON decisions.watch_reference, decisions.watch_bins, decisions.watch_count TO steelyard_app;

CREATE TABLE decisions.watch_finding (
    scene text COLLATE "C" NOT NULL,
    policy text COLLATE "C" NOT NULL,
    day date NOT NULL,
    drift text COLLATE "C" NOT NULL CHECK (drift IN ('distribution', 'calibration', 'hit_rate', 'recall')),
    subject text COLLATE "C" NOT NULL,
    level text COLLATE "C" NOT NULL CHECK (level IN ('unknown', 'steady', 'watch', 'alert')),
    value float8,
    en text NOT NULL,
    zh text NOT NULL,
    case_id uuid,
    PRIMARY KEY (scene, policy, day, drift, subject),
    CHECK ((level = 'unknown') = (value IS NULL)),
    CHECK ((level = 'alert') = (case_id IS NOT NULL))
);
GRANT SELECT, INSERT ON decisions.watch_finding TO steelyard_app;
"""


def upgrade() -> None:
    for part in (_REVIEWS, _WATCH):
        op.execute(part)
