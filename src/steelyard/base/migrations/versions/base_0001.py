"""base: the schema and the business clock."""

from alembic import op

revision = "base_0001"
down_revision = None
branch_labels = ("base",)
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE SCHEMA base;
        GRANT USAGE ON SCHEMA base TO steelyard_app;
        REVOKE CREATE ON SCHEMA public FROM PUBLIC;

        CREATE TABLE base.clock (
            one boolean PRIMARY KEY DEFAULT true CHECK (one),
            real_anchor timestamptz NOT NULL,
            virtual_anchor timestamptz NOT NULL,
            speed double precision NOT NULL CHECK (speed >= 0),
            seen_at timestamptz NOT NULL DEFAULT '-infinity'
        );
        GRANT SELECT, INSERT, UPDATE ON base.clock TO steelyard_app;

        CREATE FUNCTION base.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION '% on %.% is refused: the table is append-only',
                TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
        END $$;
        """
    )
