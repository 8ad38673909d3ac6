"""base: jobs.

The tables of procrastinate are made by its own migration files, up to a release named here and no
further. Released files do not change, so a fresh and an upgraded installation end alike whatever
release of the library is installed. A later release with new files needs a revision that applies
the files after `LAST`; a test compares `LAST` with what is installed.
"""

from importlib import resources

import psycopg
from alembic import op

revision = "base_0003"
down_revision = "base_0002"
branch_labels = None
depends_on = None

LAST = "03.04.00_50_post_add_retry_failed_job_procedure.sql"


def upgrade() -> None:
    connection = op.get_bind().connection.driver_connection
    assert isinstance(connection, psycopg.Connection)
    folder = resources.files("procrastinate.sql").joinpath("migrations")
    names = sorted(f.name for f in folder.iterdir() if f.name.endswith(".sql") and f.name <= LAST)
    assert names[-1] == LAST, f"procrastinate lacks {LAST}"
    for name in names:
        # Without parameters the driver takes several statements, and % and : as they are.
        connection.execute(folder.joinpath(name).read_bytes())
    op.execute(
        """
        GRANT SELECT, INSERT, UPDATE, DELETE ON procrastinate_jobs, procrastinate_events,
            procrastinate_workers, procrastinate_periodic_defers TO steelyard_app;
        GRANT USAGE ON SEQUENCE procrastinate_jobs_id_seq, procrastinate_events_id_seq,
            procrastinate_periodic_defers_id_seq TO steelyard_app;
        GRANT SELECT ON public.alembic_version TO steelyard_app;

        CREATE TABLE base.job_schedule (
            name text PRIMARY KEY,
            last_tick timestamptz NOT NULL
        );
        COMMENT ON TABLE base.job_schedule IS
            'one row per schedule, locked by the process that defers its next tick';
        GRANT SELECT, INSERT, UPDATE ON base.job_schedule TO steelyard_app;

        CREATE TABLE base.job_tick (
            schedule text NOT NULL,
            tick timestamptz NOT NULL,
            job_id bigint REFERENCES procrastinate_jobs ON DELETE SET NULL,
            deferred_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (schedule, tick)
        );
        CREATE INDEX job_tick_by_job ON base.job_tick (job_id);
        CREATE INDEX job_tick_by_age ON base.job_tick (deferred_at);
        GRANT SELECT, INSERT, UPDATE, DELETE ON base.job_tick TO steelyard_app;

        CREATE TABLE base.job_due (
            job_id bigint PRIMARY KEY REFERENCES procrastinate_jobs ON DELETE CASCADE,
            run_at timestamptz NOT NULL
        );
        COMMENT ON TABLE base.job_due IS 'jobs held back until the business clock says run_at';
        CREATE INDEX job_due_by_instant ON base.job_due (run_at);
        GRANT SELECT, INSERT, DELETE, UPDATE ON base.job_due TO steelyard_app;

        CREATE TABLE base.job_step (
            job_id bigint NOT NULL REFERENCES procrastinate_jobs ON DELETE CASCADE,
            step text NOT NULL,
            output jsonb NOT NULL,
            done_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (job_id, step)
        );
        GRANT SELECT, INSERT, DELETE ON base.job_step TO steelyard_app;

        CREATE TABLE base.job_failure (
            sequence bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            job_id bigint NOT NULL REFERENCES procrastinate_jobs ON DELETE CASCADE,
            attempt integer NOT NULL,
            failed_at timestamptz NOT NULL DEFAULT now(),
            error text NOT NULL
        );
        CREATE INDEX job_failure_by_job ON base.job_failure (job_id, sequence);
        GRANT SELECT, INSERT, DELETE ON base.job_failure TO steelyard_app;
        """
    )
