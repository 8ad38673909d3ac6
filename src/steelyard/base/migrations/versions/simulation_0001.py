"""simulation: the one town of an installation, and how far it has lived."""

from alembic import op

revision = "simulation_0001"
down_revision = None
branch_labels = ("simulation",)
depends_on = ("base_0001",)


def upgrade() -> None:
    op.execute(
        """
        CREATE SCHEMA simulation;
        GRANT USAGE ON SCHEMA simulation TO steelyard_app;

        CREATE TABLE simulation.town (
            one boolean PRIMARY KEY DEFAULT true CHECK (one),
            seed bigint NOT NULL,
            customers integer NOT NULL CHECK (customers > 0),
            terminals integer NOT NULL CHECK (terminals > 0),
            opens_on date NOT NULL,
            history_days integer NOT NULL CHECK (history_days >= 0),
            book text NOT NULL,
            house text NOT NULL CHECK (house <> book),
            founded_at timestamptz NOT NULL,
            is_settled boolean NOT NULL DEFAULT false,
            played_through timestamptz NOT NULL,
            playing_through timestamptz NOT NULL CHECK (playing_through >= played_through),
            history_done boolean NOT NULL DEFAULT false,
            resting text CHECK (resting <> '')
        ) WITH (fillfactor = 30);
        COMMENT ON COLUMN simulation.town.is_settled IS 'books, merchants and accounts are there';
        COMMENT ON COLUMN simulation.town.playing_through IS
            'what is being sent reaches up to here: after a crash the same span is sent again';

        CREATE FUNCTION simulation.keep_plan() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF NEW.played_through < OLD.played_through OR (OLD.history_done AND NOT NEW.history_done)
            THEN
                RAISE EXCEPTION 'the town does not go back to %', NEW.played_through
                    USING ERRCODE = 'restrict_violation';
            END IF;
            RETURN NEW;
        END $$;
        CREATE TRIGGER town_goes_on BEFORE UPDATE ON simulation.town
            FOR EACH ROW EXECUTE FUNCTION simulation.keep_plan();

        -- The plan never changes: two towns of one plan are the same town.
        GRANT SELECT, INSERT, UPDATE (
            is_settled, played_through, playing_through, history_done, resting
        ) ON simulation.town TO steelyard_app;
        """
    )
