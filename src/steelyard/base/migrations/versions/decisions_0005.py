"""decisions: the registry of models."""

from alembic import op

revision = "decisions_0005"
down_revision = "decisions_0004"
branch_labels = None
depends_on = None

# What a model is, and what its card says, is written once: the application may change its state
# only, and each state but in the order of a model's life.
_MODELS = """
CREATE FUNCTION decisions.hash_of(content text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT encode(sha256(convert_to(content, 'UTF8')), 'hex')
$$;

CREATE TABLE decisions.model (
    name text COLLATE "C" NOT NULL CHECK (name ~ '^[a-z][a-z0-9_]{0,59}$'),
    version integer NOT NULL CHECK (version > 0),
    kind text COLLATE "C" NOT NULL CHECK (kind IN ('gbm', 'logistic', 'scorecard')),
    form text NOT NULL,
    digest text COLLATE "C" NOT NULL CHECK (digest = decisions.hash_of(form)),
    substance text COLLATE "C" NOT NULL,
    inputs jsonb NOT NULL,
    schema_hash text COLLATE "C" NOT NULL,
    definitions_hash text COLLATE "C" NOT NULL,
    card text NOT NULL,
    card_digest text COLLATE "C" NOT NULL CHECK (card_digest = decisions.hash_of(card)),
    registered_by text NOT NULL,
    registered_at timestamptz NOT NULL,
    state text COLLATE "C" NOT NULL DEFAULT 'registered'
        CHECK (state IN ('registered', 'approved', 'retired')),
    cause text,
    approved_at timestamptz,
    retired_by text,
    retired_at timestamptz,
    reason text,
    PRIMARY KEY (name, version),
    UNIQUE (name, substance),
    CHECK ((approved_at IS NULL) = (cause IS NULL)),
    CHECK (state <> 'approved' OR approved_at IS NOT NULL),
    CHECK ((state = 'retired') = (retired_at IS NOT NULL)),
    CHECK ((retired_at IS NULL) = (retired_by IS NULL)),
    CHECK ((retired_at IS NULL) = (reason IS NULL))
);
COMMENT ON TABLE decisions.model IS 'trained models and scorecards, each version with its card';
COMMENT ON COLUMN decisions.model.form IS 'flat form in canonical JSON, from which it is loaded';
COMMENT ON COLUMN decisions.model.substance IS
    'hash of the form without name and version: the same model is not registered twice';
COMMENT ON COLUMN decisions.model.inputs IS 'what it reads, with the definitions of its training';
COMMENT ON COLUMN decisions.model.cause IS 'the approval by a second person';

CREATE FUNCTION decisions.check_model_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (OLD.name, OLD.version, OLD.kind, OLD.form, OLD.digest, OLD.substance, OLD.inputs,
            OLD.schema_hash, OLD.definitions_hash, OLD.card, OLD.card_digest, OLD.registered_by,
            OLD.registered_at)
        IS DISTINCT FROM (NEW.name, NEW.version, NEW.kind, NEW.form, NEW.digest, NEW.substance,
            NEW.inputs, NEW.schema_hash, NEW.definitions_hash, NEW.card, NEW.card_digest,
            NEW.registered_by, NEW.registered_at)
        OR (OLD.state, NEW.state) NOT IN
            (('registered', 'approved'), ('registered', 'retired'), ('approved', 'retired'))
    THEN
        RAISE EXCEPTION 'model %@% is not changed', OLD.name, OLD.version
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER model_is_immutable BEFORE UPDATE ON decisions.model
    FOR EACH ROW EXECUTE FUNCTION decisions.check_model_change();
CREATE TRIGGER model_is_kept BEFORE DELETE OR TRUNCATE ON decisions.model
    FOR EACH STATEMENT EXECUTE FUNCTION base.refuse_change();
GRANT SELECT, INSERT ON decisions.model TO steelyard_app;
GRANT UPDATE (state, cause, approved_at, retired_by, retired_at, reason) ON decisions.model
    TO steelyard_app;
"""


def upgrade() -> None:
    op.execute(_MODELS)
