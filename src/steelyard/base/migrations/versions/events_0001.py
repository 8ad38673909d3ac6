"""events: the log of facts."""

from alembic import op

revision = "events_0001"
down_revision = None
branch_labels = ("events",)
depends_on = ("base_0001",)


def upgrade() -> None:
    op.execute(
        """
        CREATE SCHEMA events;
        GRANT USAGE ON SCHEMA events TO steelyard_app;

        CREATE TABLE events.log (
            sequence bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            position xid8 NOT NULL DEFAULT pg_current_xact_id(),
            epoch integer NOT NULL DEFAULT 0,
            kind text NOT NULL,
            version smallint NOT NULL CHECK (version > 0),
            subject text NOT NULL CHECK (subject ~ '^[a-z][a-z_]*:.+'),
            occurred_at timestamptz NOT NULL,
            recorded_at timestamptz NOT NULL,
            actor text NOT NULL,
            payload jsonb NOT NULL
        );
        CREATE INDEX log_by_position ON events.log (position, sequence);
        CREATE INDEX log_by_subject ON events.log (subject, sequence);
        GRANT SELECT, INSERT ON events.log TO steelyard_app;
        CREATE TRIGGER log_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON events.log
            FOR EACH STATEMENT EXECUTE FUNCTION base.refuse_change();
        """
    )
