"""decisions: what the owner of a shard heard, where it folded it, and where an entity was touched."""

from alembic import op

revision = "decisions_0002"
down_revision = "decisions_0001"
branch_labels = None
depends_on = None

_TOLD = """
CREATE TABLE decisions.told (
    arrival bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    position bigint NOT NULL,
    what text COLLATE "C" NOT NULL CHECK (what IN ('event', 'label')),
    kind text COLLATE "C" NOT NULL,
    event_id text COLLATE "C" NOT NULL,
    at_ms bigint NOT NULL,
    content jsonb NOT NULL,
    UNIQUE (position, what, kind)
);
COMMENT ON TABLE decisions.told IS
    'events and labels out of the facts, in the order in which the one consumer took them in';
CREATE INDEX told_by_event ON decisions.told (kind, event_id);
CREATE TRIGGER told_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON decisions.told
    FOR EACH STATEMENT EXECUTE FUNCTION base.refuse_change();
GRANT SELECT, INSERT ON decisions.told TO steelyard_app;

CREATE TABLE decisions.folded (
    shard smallint NOT NULL REFERENCES decisions.owner,
    fold_seq bigint NOT NULL,
    arrival bigint NOT NULL REFERENCES decisions.told,
    is_too_late boolean NOT NULL,
    epoch bigint NOT NULL,
    PRIMARY KEY (shard, fold_seq),
    UNIQUE (shard, arrival)
);
COMMENT ON TABLE decisions.folded IS 'where in the order of folding a shard took what it was told';
CREATE TRIGGER folded_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON decisions.folded
    FOR EACH STATEMENT EXECUTE FUNCTION base.refuse_change();
GRANT SELECT ON decisions.folded TO steelyard_app;

CREATE VIEW decisions.heard AS
SELECT f.shard, f.fold_seq, t.what, t.kind, t.event_id, t.at_ms, t.position, t.content, t.arrival,
    f.is_too_late
FROM decisions.folded f JOIN decisions.told t USING (arrival);
GRANT SELECT ON decisions.heard TO steelyard_app;

ALTER TABLE decisions.owner ADD COLUMN heard_to bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN decisions.owner.heard_to IS 'arrival up to which it folded what it was told';
"""

# An entity is a 64-bit hash: whoever reads the trail looks at the event itself besides.
_TRAIL = """
CREATE TABLE decisions.trail (
    entity bigint NOT NULL,
    shard smallint NOT NULL,
    fold_seq bigint NOT NULL,
    PRIMARY KEY (entity, shard, fold_seq)
);
CREATE TABLE decisions.trail_head (
    shard smallint PRIMARY KEY,
    fold_seq bigint NOT NULL
);
COMMENT ON TABLE decisions.trail_head IS 'up to where the trail is written; behind it the log is read';
GRANT SELECT, INSERT ON decisions.trail TO steelyard_app;
GRANT SELECT, INSERT, UPDATE ON decisions.trail_head TO steelyard_app;
CREATE INDEX log_by_fold ON decisions.log (shard, fold_seq);
"""

_APPEND = """
-- Appends a batch of decisions and of what was folded between them; false where the epoch is over.
CREATE FUNCTION decisions.append_folds(
    the_shard smallint, the_epoch bigint, last_fold_seq bigint, last_arrival bigint,
    heard_seqs bigint[], arrivals bigint[], too_late boolean[],
    ids uuid[], scenes text[], asked text[], subjects text[], fold_seqs bigint[],
    ats timestamptz[], expiries timestamptz[], outcomes text[], limits bigint[], causes text[],
    records bytea[], hashes bytea[]
) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT decisions.append(the_shard, the_epoch, last_fold_seq, ids, scenes, asked, subjects,
        fold_seqs, ats, expiries, outcomes, limits, causes, records, hashes)
    THEN
        RETURN false;
    END IF;
    INSERT INTO decisions.folded (shard, fold_seq, arrival, is_too_late, epoch)
    SELECT the_shard, h.fold_seq, h.arrival, h.is_too_late, the_epoch
    FROM unnest(heard_seqs, arrivals, too_late) AS h (fold_seq, arrival, is_too_late);
    UPDATE decisions.owner o SET heard_to = greatest(o.heard_to, last_arrival)
    WHERE o.shard = the_shard AND o.heard_to < last_arrival;
    RETURN true;
END $$;

REVOKE ALL ON FUNCTION decisions.append_folds(smallint, bigint, bigint, bigint, bigint[], bigint[],
    boolean[], uuid[], text[], text[], text[], bigint[], timestamptz[], timestamptz[], text[], bigint[],
    text[], bytea[], bytea[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION decisions.append_folds(smallint, bigint, bigint, bigint, bigint[],
    bigint[], boolean[], uuid[], text[], text[], text[], bigint[], timestamptz[], timestamptz[], text[],
    bigint[], text[], bytea[], bytea[]) TO steelyard_app;
"""


def upgrade() -> None:
    for part in (_TOLD, _TRAIL, _APPEND):
        op.execute(part)
