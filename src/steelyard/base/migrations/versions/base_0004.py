"""base: an idempotency key is taken with one statement."""

from alembic import op

revision = "base_0004"
down_revision = "base_0003"
branch_labels = None
depends_on = None

# Volatile, so that the row is read by a snapshot taken after the lock: it shows what the holder
# of the lock before us stored.
TAKE = """
CREATE FUNCTION base.take_key(
    the_scope text, the_key text, lock bigint, in_session boolean,
    OUT is_held boolean, OUT body_hash bytea, OUT status smallint, OUT answer bytea
) LANGUAGE plpgsql AS $$
BEGIN
    is_held := CASE WHEN in_session
        THEN pg_try_advisory_lock(lock) ELSE pg_try_advisory_xact_lock(lock) END;
    IF is_held THEN
        SELECT i.body_hash, i.status, i.answer INTO body_hash, status, answer
        FROM base.idempotency i WHERE i.scope = the_scope AND i.key = the_key;
    END IF;
END $$;
GRANT EXECUTE ON FUNCTION base.take_key(text, text, bigint, boolean) TO steelyard_app;
"""


def upgrade() -> None:
    op.execute(TAKE)
