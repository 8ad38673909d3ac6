"""credit: the close of a day, chunk by chunk, and what each loan earned on it."""

from alembic import op

revision = "credit_0005"
down_revision = "credit_0004"
branch_labels = None
depends_on = None

_STANDING = """
ALTER TABLE credit.standing ADD COLUMN eir_bp integer CHECK (eir_bp >= 0);
COMMENT ON COLUMN credit.standing.eir_bp IS
    'effective yearly rate of the contract as it was signed; null until the first day close';
"""

_DAY = """
CREATE TABLE credit.day (
    book text NOT NULL,
    on_day date NOT NULL,
    began_at timestamptz NOT NULL,
    closed_at timestamptz,
    parameters integer NOT NULL CHECK (parameters >= 0),
    checked_at timestamptz,
    differences integer CHECK (differences >= 0),
    PRIMARY KEY (book, on_day),
    CHECK (closed_at >= began_at),
    CHECK (checked_at IS NULL OR closed_at IS NOT NULL),
    CHECK ((checked_at IS NULL) = (differences IS NULL))
);
COMMENT ON TABLE credit.day IS 'a business date of a lender''s book that is being closed, or is';
COMMENT ON COLUMN credit.day.differences IS
    'accounts that were not what the loans add up to, after the day was closed';
COMMENT ON COLUMN credit.day.parameters IS 'version of the risk parameters of all its provisions';
CREATE UNIQUE INDEX day_being_closed ON credit.day (book) WHERE closed_at IS NULL;
GRANT SELECT, INSERT ON credit.day TO steelyard_app;
GRANT UPDATE (closed_at, checked_at, differences) ON credit.day TO steelyard_app;

CREATE TABLE credit.day_chunk (
    book text NOT NULL,
    on_day date NOT NULL,
    first_nr bigint NOT NULL,
    last_nr bigint NOT NULL CHECK (last_nr >= first_nr),
    done_at timestamptz,
    counts jsonb,
    PRIMARY KEY (book, on_day, first_nr),
    FOREIGN KEY (book, on_day) REFERENCES credit.day,
    CHECK ((done_at IS NULL) = (counts IS NULL))
);
COMMENT ON TABLE credit.day_chunk IS
    'loans that are closed in one transaction; done with everything that it wrote, or not at all';
GRANT SELECT, INSERT ON credit.day_chunk TO steelyard_app;
GRANT UPDATE (done_at, counts) ON credit.day_chunk TO steelyard_app;

CREATE FUNCTION credit.keep_day() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is done', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER day_is_closed_once BEFORE UPDATE ON credit.day
    FOR EACH ROW WHEN (OLD.closed_at IS DISTINCT FROM NEW.closed_at AND OLD.closed_at IS NOT NULL
        OR OLD.checked_at IS NOT NULL) EXECUTE FUNCTION credit.keep_day();
CREATE TRIGGER chunk_is_done_once BEFORE UPDATE ON credit.day_chunk
    FOR EACH ROW WHEN (OLD.done_at IS NOT NULL) EXECUTE FUNCTION credit.keep_day();
CREATE TRIGGER day_is_kept BEFORE DELETE OR TRUNCATE ON credit.day
    FOR EACH STATEMENT EXECUTE FUNCTION base.refuse_change();
CREATE TRIGGER chunk_is_kept BEFORE DELETE OR TRUNCATE ON credit.day_chunk
    FOR EACH STATEMENT EXECUTE FUNCTION base.refuse_change();
"""

_ACCRUAL = """
CREATE FUNCTION credit.total(amounts bigint[]) RETURNS bigint
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS
    'SELECT COALESCE(sum(a), 0)::bigint FROM unnest(amounts) AS a';

CREATE TABLE credit.accrual (
    book text NOT NULL,
    on_day date NOT NULL,
    first_nr bigint NOT NULL,
    pool smallint NOT NULL REFERENCES credit.pool,
    stage_before smallint NOT NULL CHECK (stage_before BETWEEN 1 AND 3),
    stage smallint NOT NULL CHECK (stage BETWEEN 1 AND 3),
    entry uuid,
    nrs bigint[] NOT NULL CHECK (cardinality(nrs) > 0),
    interest bigint[] NOT NULL,
    penalty bigint[] NOT NULL,
    fee bigint[] NOT NULL,
    provision bigint[] NOT NULL,
    interest_minor bigint NOT NULL,
    penalty_minor bigint NOT NULL,
    fee_minor bigint NOT NULL,
    provision_minor bigint NOT NULL,
    PRIMARY KEY (book, on_day, first_nr, pool, stage_before, stage),
    FOREIGN KEY (book, on_day, first_nr) REFERENCES credit.day_chunk,
    CONSTRAINT interest_adds_up CHECK (interest_minor = credit.total(interest)),
    CONSTRAINT penalty_adds_up CHECK (penalty_minor = credit.total(penalty)),
    CONSTRAINT fee_adds_up CHECK (fee_minor = credit.total(fee)),
    CONSTRAINT provision_adds_up CHECK (provision_minor = credit.total(provision)),
    CONSTRAINT one_for_each_loan CHECK (
        cardinality(interest) IN (0, cardinality(nrs))
        AND cardinality(penalty) IN (0, cardinality(nrs))
        AND cardinality(fee) IN (0, cardinality(nrs))
        AND cardinality(provision) IN (0, cardinality(nrs)))
);
COMMENT ON TABLE credit.accrual IS
    'what the loans of a pool and stage earned on a day, our share, loan by loan; posted as one';
COMMENT ON COLUMN credit.accrual.interest IS 'of each of nrs; empty where all of them are nothing';
COMMENT ON COLUMN credit.accrual.provision IS 'what it grew by';
COMMENT ON COLUMN credit.accrual.entry IS 'in the ledger; null where nothing moved';
CREATE TRIGGER accrual_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON credit.accrual
    FOR EACH STATEMENT EXECUTE FUNCTION base.refuse_change();
GRANT SELECT, INSERT ON credit.accrual TO steelyard_app;

CREATE TABLE credit.restructuring (
    nr bigint NOT NULL,
    seq integer NOT NULL,
    on_day date NOT NULL,
    category smallint NOT NULL CHECK (category BETWEEN 0 AND 4),
    PRIMARY KEY (nr, seq)
);
COMMENT ON TABLE credit.restructuring IS
    'changes of a contract in difficulty, as the day close met them; category: just before';
CREATE TRIGGER restructuring_is_append_only
    BEFORE UPDATE OR DELETE OR TRUNCATE ON credit.restructuring
    FOR EACH STATEMENT EXECUTE FUNCTION base.refuse_change();
GRANT SELECT, INSERT ON credit.restructuring TO steelyard_app;
"""


def upgrade() -> None:
    """Create the tables of the day close."""
    op.execute(_STANDING)
    op.execute(_DAY)
    op.execute(_ACCRUAL)


def downgrade() -> None:
    """Drop them."""
    op.execute("DROP TABLE credit.restructuring, credit.accrual, credit.day_chunk, credit.day")
    op.execute("DROP FUNCTION credit.keep_day(), credit.total(bigint[])")
    op.execute("ALTER TABLE credit.standing DROP COLUMN eir_bp")
