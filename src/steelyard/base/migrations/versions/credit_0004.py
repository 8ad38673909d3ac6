"""credit: the book at the end of each month, and the risk parameters that are estimated from it."""

from alembic import op

revision = "credit_0004"
down_revision = "credit_0003"
branch_labels = None
depends_on = None

_SNAPSHOT = """
CREATE TABLE credit.snapshot (
    month_on date NOT NULL,
    nr bigint NOT NULL,
    pool smallint NOT NULL,
    state smallint NOT NULL CHECK (state BETWEEN 1 AND 5),
    bucket smallint NOT NULL CHECK (bucket >= 0),
    dpd integer NOT NULL CHECK (dpd >= 0),
    category smallint NOT NULL CHECK (category BETWEEN 0 AND 4),
    stage smallint NOT NULL CHECK (stage BETWEEN 1 AND 3),
    principal_minor bigint NOT NULL,
    overdue_minor bigint NOT NULL,
    provision_minor bigint NOT NULL,
    PRIMARY KEY (month_on, nr)
);
COMMENT ON TABLE credit.snapshot IS
    'how every loan of a month stood at its end; one that ended stands in the month it ended, last';
COMMENT ON COLUMN credit.snapshot.month_on IS 'last business date of the month';
COMMENT ON COLUMN credit.snapshot.state IS '1 active, 2 written off, 3 closed, 4 sold, 5 cancelled';
CREATE INDEX snapshot_by_loan ON credit.snapshot (nr, month_on);
CREATE TRIGGER snapshot_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON credit.snapshot
    FOR EACH STATEMENT EXECUTE FUNCTION base.refuse_change();
GRANT SELECT, INSERT ON credit.snapshot TO steelyard_app;
"""

_PARAMETERS = """
CREATE TABLE credit.risk_parameters (
    version integer PRIMARY KEY CHECK (version > 0),
    content jsonb NOT NULL,
    content_hash bytea NOT NULL CHECK (octet_length(content_hash) = 32),
    actor text NOT NULL CHECK (actor <> ''),
    estimated_at timestamptz NOT NULL
);
COMMENT ON TABLE credit.risk_parameters IS
    'probabilities of default and loss shares, frozen as they were estimated';
CREATE TRIGGER risk_parameters_are_append_only
    BEFORE UPDATE OR DELETE OR TRUNCATE ON credit.risk_parameters
    FOR EACH STATEMENT EXECUTE FUNCTION base.refuse_change();
GRANT SELECT, INSERT ON credit.risk_parameters TO steelyard_app;

CREATE TABLE credit.risk_adoption (
    sequence bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    version integer NOT NULL REFERENCES credit.risk_parameters,
    from_on date NOT NULL,
    cause text NOT NULL CHECK (cause <> ''),
    actor text NOT NULL CHECK (actor <> ''),
    at timestamptz NOT NULL
);
COMMENT ON TABLE credit.risk_adoption IS
    'from which business date on provisions are made with which parameters, and by whose yes';
CREATE INDEX risk_adoption_by_day ON credit.risk_adoption (from_on, sequence);
CREATE TRIGGER risk_adoption_is_append_only
    BEFORE UPDATE OR DELETE OR TRUNCATE ON credit.risk_adoption
    FOR EACH STATEMENT EXECUTE FUNCTION base.refuse_change();
GRANT SELECT, INSERT ON credit.risk_adoption TO steelyard_app;
"""


def upgrade() -> None:
    """Create the tables of the portfolio."""
    op.execute(_SNAPSHOT)
    op.execute(_PARAMETERS)


def downgrade() -> None:
    """Drop them."""
    op.execute("DROP TABLE credit.risk_adoption, credit.risk_parameters, credit.snapshot")
