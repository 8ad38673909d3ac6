"""base: idempotency, audit, data keys."""

from alembic import op

revision = "base_0002"
down_revision = "base_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE base.idempotency (
            scope text NOT NULL,
            key text NOT NULL CHECK (length(key) BETWEEN 1 AND 200),
            body_hash bytea NOT NULL CHECK (octet_length(body_hash) = 32),
            created_at timestamptz NOT NULL DEFAULT now(),
            status integer,
            answer bytea,
            PRIMARY KEY (scope, key),
            CHECK ((status IS NULL) = (answer IS NULL))
        );
        COMMENT ON COLUMN base.idempotency.answer IS
            'NULL: the intent is committed and the command is at work, or was when it was killed';
        CREATE INDEX idempotency_by_age ON base.idempotency (created_at);
        GRANT SELECT, INSERT, UPDATE, DELETE ON base.idempotency TO steelyard_app;

        CREATE TABLE base.audit (
            sequence bigint PRIMARY KEY,
            at timestamptz NOT NULL,
            wall_at timestamptz NOT NULL,
            actor text NOT NULL,
            action text NOT NULL CHECK (action ~ '^[a-z_]+[.][a-z_]+$'),
            subject text NOT NULL,
            detail text NOT NULL,
            hash bytea NOT NULL CHECK (octet_length(hash) = 32)
        );
        CREATE INDEX audit_by_subject ON base.audit (subject, sequence);
        CREATE INDEX audit_by_actor ON base.audit (actor, sequence);
        CREATE TABLE base.audit_head (
            one boolean PRIMARY KEY DEFAULT true CHECK (one),
            sequence bigint NOT NULL,
            hash bytea NOT NULL
        );
        INSERT INTO base.audit_head (sequence, hash) VALUES (0, sha256('steelyard audit'));
        GRANT SELECT, INSERT ON base.audit TO steelyard_app;
        GRANT SELECT, UPDATE ON base.audit_head TO steelyard_app;
        CREATE TRIGGER audit_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON base.audit
            FOR EACH STATEMENT EXECUTE FUNCTION base.refuse_change();

        CREATE TABLE base.data_key (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            owner text NOT NULL UNIQUE,
            master text NOT NULL,
            wrapped bytea,
            created_at timestamptz NOT NULL DEFAULT now(),
            destroyed_at timestamptz,
            CHECK ((wrapped IS NULL) = (destroyed_at IS NOT NULL))
        );
        COMMENT ON TABLE base.data_key IS
            'One key per owner of personal data, wrapped by a master key; destroying it erases him';
        CREATE INDEX data_key_by_master ON base.data_key (master, id);
        GRANT SELECT, INSERT, UPDATE ON base.data_key TO steelyard_app;
        """
    )
