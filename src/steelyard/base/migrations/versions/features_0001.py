"""features: snapshots of the streaming state; whatever they hold can be made again from the log."""

from alembic import op

revision = "features_0001"
down_revision = None
branch_labels = ("features",)
depends_on = ("base_0001",)


def upgrade() -> None:
    op.execute(
        """
        CREATE SCHEMA features;
        GRANT USAGE ON SCHEMA features TO steelyard_app;

        CREATE TABLE features.snapshot (
            shard smallint NOT NULL CHECK (shard >= 0),
            fold_seq bigint NOT NULL CHECK (fold_seq >= 0),
            definitions text COLLATE "C" NOT NULL,
            digest text COLLATE "C" NOT NULL,
            state bytea NOT NULL,
            taken_at timestamptz NOT NULL,
            PRIMARY KEY (shard, fold_seq)
        );
        ALTER TABLE features.snapshot ALTER COLUMN state SET STORAGE EXTERNAL;
        COMMENT ON COLUMN features.snapshot.fold_seq IS 'everything up to it is in the state';
        COMMENT ON COLUMN features.snapshot.state IS 'already compressed';

        GRANT SELECT, INSERT, DELETE ON features.snapshot TO steelyard_app;
        """
    )
