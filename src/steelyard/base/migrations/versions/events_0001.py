"""events: the log of facts, its epochs, consumers and dead letters."""

from alembic import op

revision = "events_0001"
down_revision = None
branch_labels = ("events",)
depends_on = ("base_0001",)

LOG = """
CREATE SCHEMA events;
GRANT USAGE ON SCHEMA events TO steelyard_app;

CREATE TABLE events.log (
    sequence bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    position xid8 NOT NULL DEFAULT pg_current_xact_id(),
    epoch integer NOT NULL,
    version smallint NOT NULL CHECK (version > 0),
    kind text NOT NULL CHECK (kind <> ''),
    subject text NOT NULL CHECK (subject ~ '^[a-z][a-z_]*:.+'),
    occurred_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL,
    written_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor text NOT NULL,
    payload jsonb NOT NULL CHECK (jsonb_typeof(payload) = 'object')
);
COMMENT ON COLUMN events.log.position IS 'transaction that wrote the fact; xids restart by epoch';
COMMENT ON COLUMN events.log.recorded_at IS 'business instant of the unit of work';
COMMENT ON COLUMN events.log.written_at IS 'real instant, from which lag is told';
CREATE INDEX log_by_position ON events.log (epoch, position, sequence);
CREATE INDEX log_by_subject ON events.log (subject, sequence);
CREATE INDEX log_by_kind ON events.log (kind, sequence);
CREATE INDEX log_by_instant ON events.log USING brin (recorded_at) WITH (autosummarize = on);
CREATE TRIGGER log_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON events.log
    FOR EACH STATEMENT EXECUTE FUNCTION base.refuse_change();
GRANT SELECT ON events.log TO steelyard_app;
"""

EPOCHS = """
CREATE TABLE events.epoch (
    number integer PRIMARY KEY CHECK (number >= 0),
    system_identifier bigint NOT NULL,
    timeline text NOT NULL,
    begun_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    reason text NOT NULL
);
GRANT SELECT ON events.epoch TO steelyard_app;
CREATE TRIGGER epoch_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON events.epoch
    FOR EACH STATEMENT EXECUTE FUNCTION base.refuse_change();
"""

CONSUMERS = """
CREATE TABLE events.consumer (
    name text NOT NULL,
    version smallint NOT NULL CHECK (version > 0),
    hears text[] NOT NULL,
    epoch integer NOT NULL,
    seen pg_snapshot NOT NULL,
    taking pg_snapshot,
    after_sequence bigint NOT NULL DEFAULT 0,
    last_sequence bigint NOT NULL DEFAULT 0,
    is_stopped boolean NOT NULL DEFAULT false,
    stopped_because text,
    failed_sequence bigint,
    attempts integer NOT NULL DEFAULT 0,
    retry_at timestamptz,
    replay_from bigint,
    delivered_sequence bigint NOT NULL DEFAULT 0,
    moved_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (name, version)
) WITH (fillfactor = 30);
GRANT SELECT, INSERT, UPDATE, DELETE ON events.consumer TO steelyard_app;

CREATE TABLE events.dead_letter (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    consumer text NOT NULL,
    consumer_version smallint NOT NULL,
    sequence bigint NOT NULL REFERENCES events.log,
    handler text NOT NULL,
    attempts integer NOT NULL,
    error text NOT NULL,
    state text NOT NULL DEFAULT 'open'
        CHECK (state IN ('open', 'replaying', 'replayed', 'discarded')),
    died_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    settled_at timestamptz,
    settled_by text,
    settled_because text,
    UNIQUE (consumer, consumer_version, sequence),
    CHECK ((state IN ('replayed', 'discarded')) = (settled_at IS NOT NULL))
);
CREATE INDEX dead_letter_unsettled ON events.dead_letter (consumer, consumer_version, sequence)
    WHERE state IN ('open', 'replaying');
GRANT SELECT, INSERT ON events.dead_letter TO steelyard_app;
GRANT UPDATE (handler, attempts, error, state, died_at, settled_at, settled_by, settled_because)
    ON events.dead_letter TO steelyard_app;

CREATE UNLOGGED TABLE events.sleeper (
    name text PRIMARY KEY,
    until timestamptz NOT NULL
) WITH (fillfactor = 10);
COMMENT ON TABLE events.sleeper IS 'readers to be woken by NOTIFY; the others are awake anyway';
GRANT SELECT, INSERT, UPDATE, DELETE ON events.sleeper TO steelyard_app;
"""

# What may be done with the log is done by these functions, as the owner: the application role
# can append and nothing else, and cannot choose the position or the epoch of a fact.
FUNCTIONS = """
CREATE FUNCTION events.epoch_fault() RETURNS text LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE
        WHEN e.number IS NULL THEN 'the log has no epoch yet'
        WHEN e.system_identifier <> (SELECT system_identifier FROM pg_control_system())
            THEN 'the database was restored on another server'
        WHEN e.timeline <> left(pg_walfile_name(pg_current_wal_lsn()), 8)
            THEN 'the server was recovered on a new timeline'
        WHEN EXISTS (
            SELECT FROM events.log AS l WHERE l.epoch = e.number
            AND l.position >= pg_snapshot_xmax(pg_current_snapshot())
            AND l.position IS DISTINCT FROM pg_current_xact_id_if_assigned())
            THEN 'facts lie in the future of the server'
        WHEN EXISTS (
            SELECT FROM events.consumer AS c WHERE c.epoch = e.number
            AND pg_snapshot_xmax(coalesce(c.taking, c.seen))
                > pg_snapshot_xmax(pg_current_snapshot()))
            THEN 'a consumer stands in the future of the server'
    END
    FROM (SELECT 1) AS one
    LEFT JOIN (SELECT * FROM events.epoch ORDER BY number DESC LIMIT 1) AS e ON true
$$;

CREATE FUNCTION events.begin_epoch(because text) RETURNS integer LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    begun integer;
    highest bigint;
BEGIN
    -- Waits for every writer of the epoch that ends; the writers after us read the new number.
    LOCK TABLE events.log IN SHARE ROW EXCLUSIVE MODE;
    INSERT INTO events.epoch (number, system_identifier, timeline, reason)
    SELECT
        coalesce((SELECT max(number) + 1 FROM events.epoch), 0),
        (SELECT system_identifier FROM pg_control_system()),
        left(pg_walfile_name(pg_current_wal_lsn()), 8),
        because
    RETURNING number INTO begun;
    SELECT max(sequence) INTO highest FROM events.log;
    IF highest > (SELECT last_value FROM events.log_sequence_seq) THEN
        PERFORM setval('events.log_sequence_seq', highest);
    END IF;
    RETURN begun;
END $$;

CREATE FUNCTION events.ensure_epoch() RETURNS integer LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF events.epoch_fault() IS NULL THEN
        RETURN NULL;
    END IF;
    LOCK TABLE events.log IN SHARE ROW EXCLUSIVE MODE;
    RETURN events.begin_epoch(fault) FROM events.epoch_fault() AS fault WHERE fault IS NOT NULL;
END $$;

-- One document instead of an array for each column: the client writes it in one go.
CREATE FUNCTION events.append(facts jsonb) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    LOCK TABLE events.log IN ROW EXCLUSIVE MODE;
    INSERT INTO events.log
        (epoch, kind, version, subject, occurred_at, recorded_at, actor, payload)
    SELECT
        (SELECT max(number) FROM events.epoch),
        f.fact ->> 0, (f.fact ->> 1)::smallint, f.fact ->> 2, (f.fact ->> 3)::timestamptz,
        (f.fact ->> 4)::timestamptz, f.fact ->> 5, f.fact -> 6
    FROM jsonb_array_elements(facts) WITH ORDINALITY AS f (fact, nth)
    ORDER BY f.nth;
    -- After the insert: a reader that goes to sleep waits for transactions that may have missed
    -- its row here. NOTIFY takes a lock of the whole server until the commit is on the disk, so
    -- it is used only when somebody sleeps.
    IF EXISTS (SELECT FROM events.sleeper AS s WHERE s.until > clock_timestamp()) THEN
        PERFORM pg_notify('steelyard_events', '');
    END IF;
END $$;

REVOKE ALL ON FUNCTION events.begin_epoch(text), events.ensure_epoch(), events.epoch_fault(),
    events.append(jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION events.ensure_epoch(), events.epoch_fault(), events.append(jsonb)
    TO steelyard_app;

SELECT events.begin_epoch('first installation');
"""


def upgrade() -> None:
    for part in (LOG, EPOCHS, CONSUMERS, FUNCTIONS):
        op.get_bind().exec_driver_sql(part)
