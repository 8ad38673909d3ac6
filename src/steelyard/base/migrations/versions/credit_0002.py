"""credit: products, applications, offers, evidence of contracts, limits."""

from alembic import op

revision = "credit_0002"
down_revision = "credit_0001"
branch_labels = None
depends_on = None

_PRODUCTS = """
CREATE TABLE credit.product (
    code text PRIMARY KEY CHECK (code ~ '^[a-z][a-z0-9_]{1,39}$'),
    active integer CHECK (active > 0)
);
COMMENT ON TABLE credit.product IS 'one row a product, locked by who changes what is sold';
COMMENT ON COLUMN credit.product.active IS 'the version that is sold; null: none yet';
GRANT SELECT, INSERT, UPDATE (active) ON credit.product TO steelyard_app;

CREATE TABLE credit.product_version (
    code text NOT NULL REFERENCES credit.product,
    version integer NOT NULL CHECK (version > 0),
    content jsonb NOT NULL,
    content_hash bytea NOT NULL CHECK (octet_length(content_hash) = 32),
    note text NOT NULL,
    drafted_by text NOT NULL CHECK (drafted_by <> ''),
    drafted_at timestamptz NOT NULL,
    PRIMARY KEY (code, version)
);
COMMENT ON TABLE credit.product_version IS 'frozen terms; a change is another version';
CREATE TABLE credit.product_activation (
    sequence bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    code text NOT NULL,
    version integer NOT NULL,
    before integer,
    cause text NOT NULL CHECK (cause <> ''),
    actor text NOT NULL CHECK (actor <> ''),
    at timestamptz NOT NULL,
    FOREIGN KEY (code, version) REFERENCES credit.product_version
);
COMMENT ON TABLE credit.product_activation IS 'what was put in force when, and by whose yes';
CREATE INDEX product_activation_by_code ON credit.product_activation (code, sequence);
"""

_APPLICATIONS = """
CREATE TABLE credit.application (
    id uuid PRIMARY KEY,
    party uuid NOT NULL,
    product text NOT NULL,
    product_version integer NOT NULL,
    channel text NOT NULL CHECK (channel <> ''),
    state text NOT NULL CHECK (state IN ('drafted', 'consented', 'submitted', 'checked', 'decided',
        'in_review', 'offered', 'accepted', 'signed', 'declined', 'withdrawn', 'expired')),
    version integer NOT NULL DEFAULT 1 CHECK (version > 0),
    facts jsonb NOT NULL,
    origin jsonb NOT NULL,
    consent jsonb,
    checks jsonb,
    decision uuid,
    assessment jsonb,
    offer uuid,
    loan uuid,
    line uuid,
    drafted_at timestamptz NOT NULL,
    changed_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    FOREIGN KEY (product, product_version) REFERENCES credit.product_version (code, version),
    CHECK (loan IS NULL OR line IS NULL)
) WITH (fillfactor = 60);
COMMENT ON COLUMN credit.application.facts IS 'what is asked for, and what the customer stated';
COMMENT ON COLUMN credit.application.origin IS 'device, address in the net: where it came from';
COMMENT ON COLUMN credit.application.checks IS 'identity and credit file as they were looked at';
COMMENT ON COLUMN credit.application.assessment IS 'what came of it: ruling, reasons, tier, amount';
CREATE INDEX application_by_party ON credit.application (party, id);
CREATE INDEX application_by_state ON credit.application (state, id);
CREATE INDEX application_to_expire ON credit.application (expires_at)
    WHERE state IN ('drafted', 'consented', 'submitted', 'checked', 'decided', 'offered');
GRANT SELECT, INSERT ON credit.application TO steelyard_app;
GRANT UPDATE (state, version, facts, consent, checks, decision, assessment, offer, loan, line,
    changed_at, expires_at) ON credit.application TO steelyard_app;

CREATE FUNCTION credit.keep_application() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.version <> OLD.version + 1 THEN
        RAISE EXCEPTION 'application %: version % does not follow %',
            OLD.id, NEW.version, OLD.version USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.state <> OLD.state AND (OLD.state, NEW.state) NOT IN (
        ('drafted', 'consented'), ('consented', 'submitted'), ('submitted', 'checked'),
        ('checked', 'decided'), ('decided', 'offered'), ('decided', 'in_review'),
        ('decided', 'declined'), ('in_review', 'offered'), ('in_review', 'declined'),
        ('offered', 'accepted'), ('accepted', 'signed'), ('signed', 'withdrawn'))
        AND NOT (NEW.state IN ('withdrawn', 'expired') AND OLD.state IN (
            'drafted', 'consented', 'submitted', 'checked', 'decided', 'in_review', 'offered'))
    THEN
        RAISE EXCEPTION 'application %: % does not follow %', OLD.id, NEW.state, OLD.state
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF OLD.state NOT IN ('drafted', 'consented') AND NEW.facts <> OLD.facts THEN
        RAISE EXCEPTION 'application %: what was submitted stays', OLD.id
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER application_keeps_machine BEFORE UPDATE ON credit.application
    FOR EACH ROW EXECUTE FUNCTION credit.keep_application();
CREATE TRIGGER application_is_kept BEFORE DELETE OR TRUNCATE ON credit.application
    FOR EACH STATEMENT EXECUTE FUNCTION base.refuse_change();

CREATE TABLE credit.application_step (
    application uuid NOT NULL REFERENCES credit.application,
    version integer NOT NULL,
    at timestamptz NOT NULL,
    actor text NOT NULL CHECK (actor <> ''),
    before text,
    after text NOT NULL,
    detail jsonb NOT NULL,
    PRIMARY KEY (application, version)
);
COMMENT ON TABLE credit.application_step IS 'every step of an application, without personal data';

CREATE TABLE credit.offer (
    id uuid PRIMARY KEY,
    application uuid NOT NULL REFERENCES credit.application,
    content jsonb NOT NULL,
    content_hash bytea NOT NULL CHECK (octet_length(content_hash) = 32),
    cause text NOT NULL CHECK (cause ~ '@[0-9]+$'),
    decision uuid,
    made_by text NOT NULL,
    made_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL CHECK (expires_at > made_at)
);
COMMENT ON TABLE credit.offer IS 'terms, price and every cost, as they were shown';
CREATE INDEX offer_by_application ON credit.offer (application, id);

CREATE TABLE credit.evidence (
    application uuid NOT NULL REFERENCES credit.application,
    name text NOT NULL CHECK (name ~ '^[a-z][a-z0-9_]{0,39}$'),
    content bytea NOT NULL,
    content_hash bytea NOT NULL CHECK (octet_length(content_hash) = 32),
    at timestamptz NOT NULL,
    actor text NOT NULL,
    PRIMARY KEY (application, name)
);
COMMENT ON TABLE credit.evidence IS
    'what a contract is proved with: each piece as bytes, with its SHA-256 at the time';
"""

_LINES = """
CREATE TABLE credit.preapproval_rule (
    name text NOT NULL CHECK (name ~ '^[a-z][a-z0-9_]{1,39}$'),
    version integer NOT NULL CHECK (version > 0),
    content jsonb NOT NULL,
    made_by text NOT NULL,
    made_at timestamptz NOT NULL,
    cause text NOT NULL CHECK (cause ~ '@[0-9]+$'),
    PRIMARY KEY (name, version)
);
COMMENT ON TABLE credit.preapproval_rule IS
    'who is granted a limit unasked: the rule as it is shown, and by whose yes';

CREATE TABLE credit.line (
    id uuid PRIMARY KEY,
    party uuid NOT NULL,
    product text NOT NULL,
    product_version integer NOT NULL,
    currency text NOT NULL,
    tier text NOT NULL,
    limit_minor bigint NOT NULL CHECK (limit_minor >= 0),
    state text NOT NULL CHECK (state IN ('proposed', 'open', 'frozen', 'closed')),
    version integer NOT NULL DEFAULT 1 CHECK (version > 0),
    application uuid,
    rule text,
    rule_version integer,
    cause text NOT NULL CHECK (cause ~ '@[0-9]+$'),
    granted_at timestamptz NOT NULL,
    expires_on date NOT NULL,
    FOREIGN KEY (product, product_version) REFERENCES credit.product_version (code, version),
    FOREIGN KEY (rule, rule_version) REFERENCES credit.preapproval_rule (name, version),
    CHECK ((application IS NULL) <> (rule IS NULL) OR state <> 'proposed')
) WITH (fillfactor = 80);
COMMENT ON COLUMN credit.line.state IS
    'proposed: granted unasked, and drawn on only after the customer has taken it up';
CREATE UNIQUE INDEX line_of_one_product ON credit.line (party, product) WHERE state <> 'closed';
GRANT SELECT, INSERT ON credit.line TO steelyard_app;
GRANT UPDATE (limit_minor, state, version, application, tier, expires_on)
    ON credit.line TO steelyard_app;
CREATE TRIGGER line_is_kept BEFORE DELETE OR TRUNCATE ON credit.line
    FOR EACH STATEMENT EXECUTE FUNCTION base.refuse_change();

CREATE TABLE credit.line_change (
    line uuid NOT NULL REFERENCES credit.line,
    version integer NOT NULL,
    at timestamptz NOT NULL,
    actor text NOT NULL CHECK (actor <> ''),
    change text NOT NULL,
    before_minor bigint NOT NULL,
    after_minor bigint NOT NULL,
    reason text NOT NULL CHECK (reason <> ''),
    cause text NOT NULL CHECK (cause ~ '@[0-9]+$'),
    PRIMARY KEY (line, version)
);
COMMENT ON TABLE credit.line_change IS 'every change of a limit, with its reason';

CREATE TABLE credit.line_draw (
    loan uuid PRIMARY KEY REFERENCES credit.loan,
    line uuid NOT NULL REFERENCES credit.line,
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    at timestamptz NOT NULL
);
COMMENT ON TABLE credit.line_draw IS
    'loans that stand under a limit; what is used of it is what they still owe';
CREATE INDEX line_draw_by_line ON credit.line_draw (line);
"""

_APPEND_ONLY = (
    "product_version",
    "product_activation",
    "application_step",
    "offer",
    "evidence",
    "preapproval_rule",
    "line_change",
    "line_draw",
)


def upgrade() -> None:
    """Create the tables of everything before the loan."""
    op.execute(_PRODUCTS)
    op.execute(_APPLICATIONS)
    op.execute(_LINES)
    for table in _APPEND_ONLY:
        op.execute(
            f"GRANT SELECT, INSERT ON credit.{table} TO steelyard_app;"
            f" CREATE TRIGGER {table}_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE"
            f" ON credit.{table} FOR EACH STATEMENT EXECUTE FUNCTION base.refuse_change();"
        )


def downgrade() -> None:
    """Drop them."""
    op.execute(
        "DROP TABLE credit.line_draw, credit.line_change, credit.line, credit.preapproval_rule,"
        " credit.evidence, credit.offer, credit.application_step, credit.application,"
        " credit.product_activation, credit.product_version, credit.product;"
        " DROP FUNCTION credit.keep_application();"
    )
