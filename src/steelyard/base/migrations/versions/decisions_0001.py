"""decisions: owners, the log of decisions, and what consumed them."""

from alembic import op

revision = "decisions_0001"
down_revision = None
branch_labels = ("decisions",)
depends_on = ("base_0001",)

_OWNERS = """
CREATE SCHEMA decisions;
GRANT USAGE ON SCHEMA decisions TO steelyard_app;

CREATE TABLE decisions.owner (
    shard smallint PRIMARY KEY CHECK (shard >= 0),
    epoch bigint NOT NULL CHECK (epoch >= 0),
    holder text NOT NULL,
    address text NOT NULL,
    ticket text NOT NULL,
    decisions bigint NOT NULL DEFAULT 0,
    fold_seq bigint NOT NULL DEFAULT 0,
    head bytea NOT NULL DEFAULT '\\x',
    taken_at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 30);
COMMENT ON TABLE decisions.owner IS 'who may decide; whoever takes it over raises the epoch';
COMMENT ON COLUMN decisions.owner.address IS 'where the owner answers the other processes';
COMMENT ON COLUMN decisions.owner.ticket IS 'what they show it, so that it answers nobody else';
GRANT SELECT ON decisions.owner TO steelyard_app;
"""

_LOG = """
CREATE TABLE decisions.log (
    shard smallint NOT NULL REFERENCES decisions.owner,
    number bigint NOT NULL CHECK (number > 0),
    id uuid NOT NULL UNIQUE,
    scene text COLLATE "C" NOT NULL,
    asked text COLLATE "C" NOT NULL,
    subject text COLLATE "C" NOT NULL,
    fold_seq bigint NOT NULL,
    at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL CHECK (expires_at > at),
    written_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    outcome text COLLATE "C" NOT NULL
        CHECK (outcome IN ('approve', 'limit', 'step_up', 'hold', 'review', 'decline')),
    limit_minor bigint CHECK ((limit_minor IS NOT NULL) = (outcome = 'limit')),
    cause text COLLATE "C" NOT NULL,
    epoch bigint NOT NULL,
    record bytea NOT NULL,
    hash bytea NOT NULL,
    PRIMARY KEY (shard, number),
    UNIQUE (scene, asked)
);
CREATE INDEX log_by_subject ON decisions.log (subject, number);
CREATE INDEX log_by_outcome ON decisions.log (scene, outcome, number);
CREATE TRIGGER log_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON decisions.log
    FOR EACH STATEMENT EXECUTE FUNCTION base.refuse_change();
GRANT SELECT ON decisions.log TO steelyard_app;

CREATE TABLE decisions.consumption (
    decision_id uuid PRIMARY KEY REFERENCES decisions.log (id),
    by text COLLATE "C" NOT NULL CHECK (by <> ''),
    amount_minor bigint CHECK (amount_minor > 0),
    consumed_at timestamptz NOT NULL
);
CREATE TRIGGER consumption_is_append_only
    BEFORE UPDATE OR DELETE OR TRUNCATE ON decisions.consumption
    FOR EACH STATEMENT EXECUTE FUNCTION base.refuse_change();
GRANT SELECT, INSERT ON decisions.consumption TO steelyard_app;

CREATE FUNCTION decisions.check_consumption() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    it decisions.log;
BEGIN
    SELECT l.* INTO it FROM decisions.log l WHERE l.id = NEW.decision_id;
    IF NOT FOUND OR it.outcome NOT IN ('approve', 'limit') OR NEW.consumed_at > it.expires_at
        OR NEW.amount_minor > it.limit_minor
    THEN
        RAISE EXCEPTION 'decision % does not let this pass', NEW.decision_id
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER decision_lets_pass BEFORE INSERT ON decisions.consumption
    FOR EACH ROW EXECUTE FUNCTION decisions.check_consumption();
"""

# What may be done with the log is done by these functions, as the owner of the schema.
_FUNCTIONS = """
-- Takes a shard over: the one who had it is fenced from here on.
CREATE FUNCTION decisions.take_over(
    the_shard smallint, the_holder text, the_address text, the_ticket text)
RETURNS decisions.owner LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    INSERT INTO decisions.owner AS o (shard, epoch, holder, address, ticket)
    VALUES (the_shard, 1, the_holder, the_address, the_ticket)
    ON CONFLICT (shard) DO UPDATE SET epoch = o.epoch + 1, holder = the_holder,
        address = the_address, ticket = the_ticket, taken_at = clock_timestamp()
    RETURNING *
$$;

-- Appends a batch behind the head; false where the epoch is over, and then nothing was written.
CREATE FUNCTION decisions.append(
    the_shard smallint, the_epoch bigint, last_fold_seq bigint,
    ids uuid[], scenes text[], asked text[], subjects text[], fold_seqs bigint[],
    ats timestamptz[], expiries timestamptz[], outcomes text[], limits bigint[], causes text[],
    records bytea[], hashes bytea[]
) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    it decisions.owner;
    many integer := cardinality(ids);
BEGIN
    SELECT o.* INTO it FROM decisions.owner o WHERE o.shard = the_shard FOR UPDATE;
    IF NOT FOUND OR it.epoch <> the_epoch THEN
        RETURN false;
    END IF;
    IF last_fold_seq < it.fold_seq THEN
        RAISE EXCEPTION 'the order of folding goes on after %', it.fold_seq
            USING ERRCODE = 'check_violation';
    END IF;
    PERFORM 1 FROM (
        SELECT b.hash, b.record, lag(b.hash, 1, it.head) OVER (ORDER BY b.nth) AS before
        FROM unnest(records, hashes) WITH ORDINALITY AS b (record, hash, nth)
    ) c WHERE c.hash IS DISTINCT FROM sha256(c.before || c.record);
    IF FOUND THEN
        RAISE EXCEPTION 'a decision breaks the chain' USING ERRCODE = 'check_violation';
    END IF;
    INSERT INTO decisions.log (shard, number, id, scene, asked, subject, fold_seq, at, expires_at,
        outcome, limit_minor, cause, epoch, record, hash)
    SELECT the_shard, it.decisions + b.nth, b.id, b.scene, b.asked, b.subject, b.fold_seq, b.at,
        b.expires_at, b.outcome, b.limit_minor, b.cause, the_epoch, b.record, b.hash
    FROM unnest(ids, scenes, asked, subjects, fold_seqs, ats, expiries, outcomes, limits, causes,
        records, hashes) WITH ORDINALITY AS b (id, scene, asked, subject, fold_seq, at, expires_at,
        outcome, limit_minor, cause, record, hash, nth);
    UPDATE decisions.owner o
    SET decisions = it.decisions + many, fold_seq = last_fold_seq,
        head = CASE WHEN many > 0 THEN hashes[many] ELSE it.head END
    WHERE o.shard = the_shard;
    RETURN true;
END $$;

REVOKE ALL ON FUNCTION decisions.take_over(smallint, text, text, text), decisions.append(smallint, bigint,
    bigint, uuid[], text[], text[], text[], bigint[], timestamptz[], timestamptz[], text[], bigint[],
    text[], bytea[], bytea[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION decisions.take_over(smallint, text, text, text), decisions.append(smallint,
    bigint, bigint, uuid[], text[], text[], text[], bigint[], timestamptz[], timestamptz[], text[],
    bigint[], text[], bytea[], bytea[]) TO steelyard_app;
"""


def upgrade() -> None:
    for part in (_OWNERS, _LOG, _FUNCTIONS):
        op.execute(part)
