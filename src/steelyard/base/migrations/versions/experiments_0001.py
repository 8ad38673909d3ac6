"""experiments: versions of experiments, exposures, outcomes."""

from alembic import op

revision = "experiments_0001"
down_revision = None
branch_labels = ("experiments",)
depends_on = ("base_0001",)


def upgrade() -> None:
    op.execute(
        """
        CREATE SCHEMA experiments;
        GRANT USAGE ON SCHEMA experiments TO steelyard_app;

        -- Equality in an exclusion constraint without an extension: a range of one point.
        CREATE TYPE experiments.word AS RANGE (subtype = text);

        CREATE TABLE experiments.experiment (
            name text NOT NULL CHECK (name ~ '^[a-z][a-z0-9_]{0,59}$'),
            version integer NOT NULL CHECK (version > 0),
            hypothesis text NOT NULL CHECK (hypothesis <> ''),
            unit_noun text NOT NULL,
            arms jsonb NOT NULL,
            metrics jsonb NOT NULL,
            allocation jsonb NOT NULL,
            salt text NOT NULL CHECK (salt ~ '^[a-z][a-z0-9_]{0,59}$'),
            layer text NOT NULL CHECK (layer ~ '^[a-z][a-z0-9_]{0,59}$'),
            slot_start integer NOT NULL,
            slot_stop integer NOT NULL,
            alpha_bp integer NOT NULL CHECK (alpha_bp BETWEEN 1 AND 5000),
            planned_units integer NOT NULL CHECK (planned_units >= 100),
            starts_at timestamptz,
            ends_at timestamptz CHECK (ends_at > starts_at),
            state text NOT NULL CHECK (state IN ('draft', 'running', 'stopped', 'dropped')),
            drafted_by text NOT NULL,
            drafted_at timestamptz NOT NULL,
            started_at timestamptz,
            stopped_at timestamptz CHECK (stopped_at >= started_at),
            cause text,
            stop_cause text,
            PRIMARY KEY (name, version),
            CHECK (0 <= slot_start AND slot_start < slot_stop AND slot_stop <= 10000),
            CHECK ((state IN ('running', 'stopped')) = (started_at IS NOT NULL)),
            CHECK ((state = 'stopped') = (stopped_at IS NOT NULL)),
            CHECK ((started_at IS NULL) = (cause IS NULL)),
            CHECK ((stopped_at IS NULL) = (stop_cause IS NULL)),
            CONSTRAINT slots_are_of_one EXCLUDE USING gist (
                (experiments.word(layer, layer, '[]')) WITH &&,
                (int4range(slot_start, slot_stop)) WITH &&
            ) WHERE (state = 'running')
        );
        CREATE UNIQUE INDEX experiment_drafted ON experiments.experiment (name)
            WHERE state = 'draft';
        CREATE UNIQUE INDEX experiment_running ON experiments.experiment (name)
            WHERE state = 'running';
        COMMENT ON COLUMN experiments.experiment.allocation IS
            'which of the 10,000 buckets of the salt belong to which arm: [arm, start, stop]';

        CREATE FUNCTION experiments.go_forward() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF OLD.state = 'draft' AND NEW.state IN ('running', 'dropped')
                OR OLD.state = 'running' AND NEW.state = 'stopped'
                    AND NEW.started_at = OLD.started_at AND NEW.cause = OLD.cause THEN
                RETURN NEW;
            END IF;
            RAISE EXCEPTION 'experiment % version % does not go from % to %',
                OLD.name, OLD.version, OLD.state, NEW.state USING ERRCODE = 'restrict_violation';
        END $$;
        CREATE TRIGGER experiment_goes_forward BEFORE UPDATE ON experiments.experiment
            FOR EACH ROW EXECUTE FUNCTION experiments.go_forward();
        GRANT SELECT, INSERT, UPDATE (state, started_at, stopped_at, cause, stop_cause)
            ON experiments.experiment TO steelyard_app;

        CREATE TABLE experiments.exposure (
            name text NOT NULL,
            version integer NOT NULL,
            unit text NOT NULL CHECK (unit ~ '^[A-Za-z0-9][A-Za-z0-9_:.-]{0,119}$'),
            arm text NOT NULL,
            exposed_at timestamptz NOT NULL,
            PRIMARY KEY (name, version, unit),
            FOREIGN KEY (name, version) REFERENCES experiments.experiment
        );
        CREATE TABLE experiments.outcome (
            name text NOT NULL,
            version integer NOT NULL,
            unit text NOT NULL,
            metric text NOT NULL,
            value bigint NOT NULL,
            recorded_at timestamptz NOT NULL,
            PRIMARY KEY (name, version, unit, metric),
            FOREIGN KEY (name, version, unit) REFERENCES experiments.exposure
        );
        COMMENT ON COLUMN experiments.outcome.value IS
            'whole number of the last decimal of the metric';
        GRANT SELECT, INSERT ON experiments.exposure, experiments.outcome TO steelyard_app;
        CREATE TRIGGER exposure_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE
            ON experiments.exposure FOR EACH STATEMENT EXECUTE FUNCTION base.refuse_change();
        CREATE TRIGGER outcome_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE
            ON experiments.outcome FOR EACH STATEMENT EXECUTE FUNCTION base.refuse_change();
        """
    )
