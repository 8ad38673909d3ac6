"""ledger: books, accounts, transfers, blocks, and the guards that keep them true.

The application role may insert transfers and accounts and may change a few columns; it may not
write a counter, a block or a book's head. Those follow from the inserted transfers by the trigger
`ledger.take_transfers`, which runs as the owner and refuses rows that do not continue the books.
"""

from alembic import op

revision = "ledger_0001"
down_revision = None
branch_labels = ("ledger",)
depends_on = ("base_0001",)

_BOOKS = r"""
CREATE SCHEMA ledger;
GRANT USAGE ON SCHEMA ledger TO steelyard_app;

CREATE TABLE ledger.book (
    id text COLLATE "C" PRIMARY KEY CHECK (id ~ '^[a-z][a-z0-9_-]{0,39}$'),
    name text NOT NULL CHECK (name <> ''),
    timezone text NOT NULL,
    funds text NOT NULL CHECK (funds IN ('own', 'client')),
    opened_at timestamptz NOT NULL,
    business_on date NOT NULL,
    closed_through date CHECK (closed_through < business_on),
    -- What follows is written by triggers only.
    accounts bigint NOT NULL DEFAULT 0,
    transfers bigint NOT NULL DEFAULT 0,
    last_at bigint NOT NULL DEFAULT 0,
    blocks bigint NOT NULL DEFAULT 0,
    head bytea NOT NULL DEFAULT ''
) WITH (fillfactor = 20);
GRANT SELECT, INSERT (id, name, timezone, funds, opened_at, business_on),
    UPDATE (business_on, closed_through) ON ledger.book TO steelyard_app;

-- At which instant of recording each business day of a book began.
CREATE TABLE ledger.day (
    book text COLLATE "C" NOT NULL REFERENCES ledger.book,
    business_on date NOT NULL,
    from_at bigint NOT NULL,
    PRIMARY KEY (book, business_on)
);
GRANT SELECT ON ledger.day TO steelyard_app;

CREATE TABLE ledger.block (
    book text COLLATE "C" NOT NULL,
    n bigint NOT NULL,
    from_at bigint NOT NULL,
    to_at bigint NOT NULL,
    transfers integer NOT NULL,
    hash bytea NOT NULL,
    PRIMARY KEY (book, n)
);
GRANT SELECT ON ledger.block TO steelyard_app;

CREATE FUNCTION ledger.begin_book() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- An unknown zone is refused here, and not by the first reader.
    PERFORM now() AT TIME ZONE NEW.timezone;
    NEW.head := sha256(convert_to('steelyard.ledger' || E'\t' || NEW.id || E'\t' || NEW.funds,
                                  'UTF8'));
    RETURN NEW;
END $$;
CREATE TRIGGER book_begins BEFORE INSERT ON ledger.book
    FOR EACH ROW EXECUTE FUNCTION ledger.begin_book();

CREATE FUNCTION ledger.note_day() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF NEW.business_on < OLD.business_on OR NEW.closed_through < OLD.closed_through
           OR (OLD.closed_through IS NOT NULL AND NEW.closed_through IS NULL) THEN
            RAISE EXCEPTION 'the dates of book % do not go back', NEW.id
                USING ERRCODE = 'restrict_violation';
        END IF;
        IF NEW.business_on = OLD.business_on THEN
            RETURN NULL;
        END IF;
    END IF;
    INSERT INTO ledger.day (book, business_on, from_at)
    VALUES (NEW.id, NEW.business_on, NEW.last_at + 1);
    RETURN NULL;
END $$;
CREATE TRIGGER book_notes_its_day AFTER INSERT OR UPDATE OF business_on, closed_through
    ON ledger.book FOR EACH ROW EXECUTE FUNCTION ledger.note_day();
"""

_ACCOUNTS = r"""
CREATE TABLE ledger.account (
    book text COLLATE "C" NOT NULL REFERENCES ledger.book,
    id bigint NOT NULL,
    code text COLLATE "C" NOT NULL
        CHECK (code ~ '^[A-Za-z][A-Za-z0-9_-]*([:/.][A-Za-z0-9_-]+)*$' AND length(code) <= 120),
    currency text COLLATE "C" NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    kind text NOT NULL CHECK (kind IN ('asset', 'liability', 'equity', 'income', 'expense')),
    owner text COLLATE "C" CHECK (owner ~ '^[a-z][a-z_]*:[A-Za-z0-9_.-]+$'),
    mirrors text COLLATE "C" REFERENCES ledger.book CHECK (mirrors <> book),
    metadata jsonb CHECK (jsonb_typeof(metadata) = 'object'),
    opened_at timestamptz NOT NULL,
    debit_limit bigint,
    credit_limit bigint,
    limits_cause text NOT NULL CHECK (limits_cause ~ '@[0-9]+$'),
    limits_version integer NOT NULL DEFAULT 0,
    closed boolean NOT NULL DEFAULT false,
    -- The four counters are written by the trigger on transfers only.
    debits_posted bigint NOT NULL DEFAULT 0 CHECK (debits_posted >= 0),
    debits_held bigint NOT NULL DEFAULT 0 CHECK (debits_held >= 0),
    credits_posted bigint NOT NULL DEFAULT 0 CHECK (credits_posted >= 0),
    credits_held bigint NOT NULL DEFAULT 0 CHECK (credits_held >= 0),
    PRIMARY KEY (book, id),
    UNIQUE (book, code),
    CONSTRAINT debit_limit_holds
        CHECK (debits_posted + debits_held - credits_posted <= debit_limit),
    CONSTRAINT credit_limit_holds
        CHECK (credits_posted + credits_held - debits_posted <= credit_limit),
    CONSTRAINT closed_means_empty
        CHECK (NOT closed
               OR (debits_posted = credits_posted AND debits_held = 0 AND credits_held = 0))
) WITH (fillfactor = 60);
CREATE UNIQUE INDEX account_by_mirror ON ledger.account (book, mirrors, currency)
    WHERE mirrors IS NOT NULL;
CREATE INDEX account_by_owner ON ledger.account (owner) WHERE owner IS NOT NULL;
CREATE INDEX account_by_metadata ON ledger.account USING gin (metadata jsonb_path_ops)
    WHERE metadata IS NOT NULL;
GRANT SELECT,
    INSERT (book, id, code, currency, kind, owner, mirrors, metadata, opened_at,
            debit_limit, credit_limit, limits_cause),
    UPDATE (debit_limit, credit_limit, limits_cause, closed) ON ledger.account TO steelyard_app;

CREATE TABLE ledger.limits (
    book text COLLATE "C" NOT NULL,
    account bigint NOT NULL,
    version integer NOT NULL,
    from_at bigint NOT NULL,
    debit_limit bigint,
    credit_limit bigint,
    cause text NOT NULL,
    PRIMARY KEY (book, account, version)
);
GRANT SELECT ON ledger.limits TO steelyard_app;

CREATE FUNCTION ledger.take_accounts() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    one record;
    seen bigint;
BEGIN
    FOR one IN SELECT book, min(id) AS low, max(id) AS high, count(*) AS n,
                      bool_or(kind NOT IN ('asset', 'liability')) AS earns
               FROM new_accounts GROUP BY book ORDER BY book LOOP
        UPDATE ledger.book SET accounts = accounts + one.n WHERE id = one.book
            RETURNING accounts - one.n INTO seen;
        IF one.low <> seen + 1 OR one.high <> seen + one.n THEN
            RAISE EXCEPTION 'the accounts of book % are numbered on from %', one.book, seen
                USING ERRCODE = 'check_violation';
        END IF;
        IF one.earns AND (SELECT funds FROM ledger.book WHERE id = one.book) = 'client' THEN
            RAISE EXCEPTION 'book % keeps client funds: assets and liabilities only', one.book
                USING ERRCODE = 'check_violation';
        END IF;
    END LOOP;
    INSERT INTO ledger.limits (book, account, version, from_at, debit_limit, credit_limit, cause)
    SELECT a.book, a.id, a.limits_version, b.last_at + 1, a.debit_limit, a.credit_limit,
           a.limits_cause
    FROM new_accounts a JOIN ledger.book b ON b.id = a.book;
    RETURN NULL;
END $$;
CREATE TRIGGER account_is_numbered AFTER INSERT ON ledger.account
    REFERENCING NEW TABLE AS new_accounts
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.take_accounts();

CREATE FUNCTION ledger.number_limits() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.limits_version := OLD.limits_version + 1;
    RETURN NEW;
END $$;
CREATE TRIGGER limits_are_numbered BEFORE UPDATE OF debit_limit, credit_limit ON ledger.account
    FOR EACH ROW EXECUTE FUNCTION ledger.number_limits();
CREATE FUNCTION ledger.keep_limits() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO ledger.limits (book, account, version, from_at, debit_limit, credit_limit, cause)
    SELECT NEW.book, NEW.id, NEW.limits_version, b.last_at + 1, NEW.debit_limit,
           NEW.credit_limit, NEW.limits_cause
    FROM ledger.book b WHERE b.id = NEW.book;
    RETURN NULL;
END $$;
CREATE TRIGGER limits_are_kept AFTER UPDATE OF debit_limit, credit_limit ON ledger.account
    FOR EACH ROW EXECUTE FUNCTION ledger.keep_limits();

-- A movement between two books is complete when the transaction commits, or does not happen.
CREATE FUNCTION ledger.check_mirror() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM 1
    FROM ledger.account near
    LEFT JOIN ledger.account far
        ON far.book = near.mirrors AND far.mirrors = near.book AND far.currency = near.currency
    WHERE near.book = NEW.book AND near.id = NEW.id
      AND (near.debits_posted, near.credits_posted, near.debits_held, near.credits_held)
          IS DISTINCT FROM
          (far.credits_posted, far.debits_posted, far.credits_held, far.debits_held);
    IF FOUND THEN
        RAISE EXCEPTION 'account %/% does not mirror its account in book %',
            NEW.book, NEW.id, NEW.mirrors USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER mirrors_agree AFTER UPDATE ON ledger.account
    DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (NEW.mirrors IS NOT NULL) EXECUTE FUNCTION ledger.check_mirror();
"""

_TRANSFERS = r"""
CREATE TABLE ledger.transfer (
    at bigint NOT NULL CHECK (at > 0 AND at < 7258118400000000),
    debit bigint NOT NULL,
    credit bigint NOT NULL,
    posted_minor bigint NOT NULL CHECK (posted_minor < 4611686018427387904),
    held_minor bigint NOT NULL CHECK (held_minor < 4611686018427387904),
    debit_balance bigint NOT NULL,
    credit_balance bigint NOT NULL,
    expires_at bigint,
    id uuid NOT NULL,
    effective_on date NOT NULL,
    kind smallint NOT NULL,
    off_dated boolean NOT NULL,
    refers_to uuid,
    entry uuid,
    decision_id uuid,
    book text COLLATE "C" NOT NULL,
    currency text COLLATE "C" NOT NULL,
    cause text COLLATE "C" NOT NULL
        CHECK (cause ~ '^[a-z][a-z0-9_]*([.:/-][a-z0-9_]+)*@[0-9]+$' AND length(cause) <= 120),
    hash bytea NOT NULL,
    metadata jsonb CHECK (jsonb_typeof(metadata) = 'object'),
    PRIMARY KEY (book, at),
    UNIQUE (book, id),
    CHECK (debit <> credit),
    CHECK (expires_at IS NULL OR (kind = 1 AND expires_at > at)),
    CONSTRAINT kind_has_its_shape CHECK (CASE kind
        WHEN 0 THEN posted_minor > 0 AND held_minor = 0 AND refers_to IS NULL
        WHEN 1 THEN posted_minor = 0 AND held_minor > 0 AND refers_to IS NULL
        WHEN 2 THEN posted_minor > 0 AND posted_minor <= -held_minor AND refers_to IS NOT NULL
        WHEN 3 THEN posted_minor = 0 AND held_minor < 0 AND refers_to IS NOT NULL
        WHEN 4 THEN posted_minor > 0 AND held_minor = 0 AND refers_to IS NOT NULL
        ELSE false END)
);
-- One resolution for a hold, one reversal for a transfer.
CREATE UNIQUE INDEX transfer_by_reference ON ledger.transfer (book, refers_to)
    WHERE refers_to IS NOT NULL;
CREATE INDEX transfer_by_debit ON ledger.transfer (book, debit, at);
CREATE INDEX transfer_by_credit ON ledger.transfer (book, credit, at);
CREATE INDEX transfer_by_entry ON ledger.transfer (book, entry) WHERE entry IS NOT NULL;
CREATE INDEX transfer_by_expiry ON ledger.transfer (book, expires_at)
    WHERE expires_at IS NOT NULL;
CREATE INDEX transfer_off_dated_debit ON ledger.transfer (book, debit, effective_on)
    WHERE off_dated;
CREATE INDEX transfer_off_dated_credit ON ledger.transfer (book, credit, effective_on)
    WHERE off_dated;
CREATE INDEX transfer_by_metadata ON ledger.transfer USING gin (metadata jsonb_path_ops)
    WHERE metadata IS NOT NULL;
GRANT SELECT, INSERT ON ledger.transfer TO steelyard_app;

-- Planned as index look-ups whatever the statistics say: a plan that reads all accounts would do
-- for an empty book, and be kept by the session while the book grows.
CREATE FUNCTION ledger.take_transfers() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET datestyle = 'ISO, YMD'
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off AS $$
DECLARE
    first_book text;
    last_book text;
    n integer;
    from_at bigint;
    to_at bigint;
    referring bigint;
    touched bigint;
    moved bigint;
    last_hash bytea;
    it ledger.book;
BEGIN
    SELECT min(t.book), max(t.book), count(*), min(t.at), max(t.at), count(t.refers_to)
        INTO first_book, last_book, n, from_at, to_at, referring FROM new_transfers t;
    IF n = 0 THEN
        RETURN NULL;
    END IF;
    IF first_book <> last_book THEN
        RAISE EXCEPTION 'one statement writes into one book' USING ERRCODE = 'check_violation';
    END IF;
    SELECT b.* INTO it FROM ledger.book b WHERE b.id = first_book FOR UPDATE;
    IF NOT FOUND OR from_at <= it.last_at THEN
        RAISE EXCEPTION 'transfers of book % continue after %', first_book, it.last_at
            USING ERRCODE = 'check_violation';
    END IF;

    -- Dates, and the chain of hashes.
    PERFORM 1 FROM (
        SELECT t.*, lag(t.hash, 1, it.head) OVER (ORDER BY t.at) AS before
        FROM new_transfers t
    ) c
    WHERE c.hash <> sha256(c.before || convert_to(concat_ws(E'\t',
            c.book, c.at, c.id, c.kind, c.debit, c.credit, c.currency, c.posted_minor,
            c.held_minor, c.effective_on, c.cause, c.debit_balance, c.credit_balance,
            coalesce(c.refers_to::text, ''), coalesce(c.entry::text, ''),
            coalesce(c.decision_id::text, ''), coalesce(c.expires_at::text, ''),
            coalesce(c.metadata::text, '')), 'UTF8'))
       OR c.effective_on <= it.closed_through
       OR c.off_dated <> (c.effective_on <> it.business_on);
    IF FOUND THEN
        RAISE EXCEPTION 'a transfer of book % breaks the chain or lies in a closed period',
            first_book USING ERRCODE = 'check_violation';
    END IF;

    -- A resolution is of an open hold, a reversal mirrors what was posted.
    IF referring > 0 THEN
        PERFORM 1 FROM new_transfers t
        LEFT JOIN ledger.transfer o
            ON o.book = t.book AND o.id = t.refers_to AND o.at < t.at
        WHERE t.refers_to IS NOT NULL AND (
            CASE WHEN t.kind = 4 THEN
                o.kind IN (0, 2) AND o.debit = t.credit AND o.credit = t.debit
                AND o.posted_minor = t.posted_minor
            ELSE
                o.kind = 1 AND o.debit = t.debit AND o.credit = t.credit
                AND o.held_minor = -t.held_minor
                AND (t.kind = 3 OR o.expires_at IS NULL OR t.at < o.expires_at)
            END) IS NOT TRUE;
        IF FOUND THEN
            RAISE EXCEPTION 'a transfer of book % refers to nothing that it could resolve',
                first_book USING ERRCODE = 'check_violation';
        END IF;
    END IF;

    -- Counters follow from the rows; running balances continue them; accounts are open and of the
    -- currency. A row that is wrong leaves its account out, and the counts differ.
    WITH leg AS (
        SELECT t.debit AS account, t.at, t.currency, t.debit_balance AS balance,
               t.posted_minor AS d, t.held_minor AS dh, 0::bigint AS c, 0::bigint AS ch
        FROM new_transfers t
        UNION ALL
        SELECT t.credit, t.at, t.currency, t.credit_balance, 0, 0, t.posted_minor, t.held_minor
        FROM new_transfers t
    ), run AS (
        SELECT leg.*, balance - sum(d - c) OVER (
                   PARTITION BY account ORDER BY at ROWS UNBOUNDED PRECEDING) AS opening
        FROM leg
    ), change AS (
        SELECT account, sum(d)::bigint AS d, sum(dh)::bigint AS dh, sum(c)::bigint AS c,
               sum(ch)::bigint AS ch, min(opening) AS low, max(opening) AS high,
               min(currency) AS currency, max(currency) AS other
        FROM run GROUP BY account
    ), done AS (
        UPDATE ledger.account a
        SET debits_posted = a.debits_posted + change.d, debits_held = a.debits_held + change.dh,
            credits_posted = a.credits_posted + change.c, credits_held = a.credits_held + change.ch
        FROM change
        WHERE a.book = first_book AND a.id = change.account AND NOT a.closed
          AND a.currency = change.currency AND a.currency = change.other
          AND change.low = a.debits_posted - a.credits_posted AND change.high = change.low
        RETURNING 1
    )
    SELECT (SELECT count(*) FROM change), (SELECT count(*) FROM done) INTO touched, moved;
    IF touched <> moved THEN
        RAISE EXCEPTION
            'a transfer of book % names a missing or closed account, another currency,'
            ' or a balance that does not continue the account', first_book
            USING ERRCODE = 'check_violation';
    END IF;

    SELECT t.hash INTO last_hash FROM new_transfers t WHERE t.at = to_at;
    UPDATE ledger.book b
    SET last_at = to_at, head = last_hash, blocks = b.blocks + 1, transfers = b.transfers + n
    WHERE b.id = first_book;
    INSERT INTO ledger.block (book, n, from_at, to_at, transfers, hash)
    VALUES (first_book, it.blocks + 1, from_at, to_at, n, last_hash);
    RETURN NULL;
END $$;
CREATE TRIGGER transfers_are_taken AFTER INSERT ON ledger.transfer
    REFERENCING NEW TABLE AS new_transfers
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.take_transfers();
"""

_READING = r"""
-- Locks a book, then reads what a batch is about, in statements of their own that see what the
-- holder of the lock before us committed. The columns of the accounts come as texts of values with
-- commas between, which cost the client a tenth of as many rows. Planned as index look-ups whatever
-- the statistics say, like `take_transfers`.
CREATE FUNCTION ledger.lock_and_read(
    the_book text, ids uuid[], numbers bigint[], codes text[],
    OUT business_on date, OUT closed_through date, OUT last_at bigint, OUT head bytea,
    OUT any_is_known boolean, OUT a_id text, OUT a_code text, OUT a_currency text,
    OUT a_mirrors text, OUT a_closed text, OUT a_debits_posted text, OUT a_debits_held text,
    OUT a_credits_posted text, OUT a_credits_held text, OUT a_debit_limit text,
    OUT a_credit_limit text
) LANGUAGE plpgsql SET enable_seqscan = off SET jit = off AS $$
BEGIN
    SELECT b.business_on, b.closed_through, b.last_at, b.head
        INTO business_on, closed_through, last_at, head
        FROM ledger.book b WHERE b.id = the_book FOR UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    any_is_known := EXISTS (
        SELECT FROM ledger.transfer t WHERE t.book = the_book AND t.id = ANY(ids));
    IF cardinality(codes) = 0 THEN
        SELECT array_to_string(array_agg(a.id), ',', ''),
               array_to_string(array_agg(a.code), ',', ''),
               array_to_string(array_agg(a.currency), ',', ''),
               array_to_string(array_agg(a.mirrors), ',', ''),
               array_to_string(array_agg(a.closed::integer), ',', ''),
               array_to_string(array_agg(a.debits_posted), ',', ''),
               array_to_string(array_agg(a.debits_held), ',', ''),
               array_to_string(array_agg(a.credits_posted), ',', ''),
               array_to_string(array_agg(a.credits_held), ',', ''),
               array_to_string(array_agg(a.debit_limit), ',', ''),
               array_to_string(array_agg(a.credit_limit), ',', '')
        INTO a_id, a_code, a_currency, a_mirrors, a_closed, a_debits_posted, a_debits_held,
             a_credits_posted, a_credits_held, a_debit_limit, a_credit_limit
        FROM ledger.account a WHERE a.book = the_book AND a.id = ANY(numbers);
    ELSE
        SELECT array_to_string(array_agg(a.id), ',', ''),
               array_to_string(array_agg(a.code), ',', ''),
               array_to_string(array_agg(a.currency), ',', ''),
               array_to_string(array_agg(a.mirrors), ',', ''),
               array_to_string(array_agg(a.closed::integer), ',', ''),
               array_to_string(array_agg(a.debits_posted), ',', ''),
               array_to_string(array_agg(a.debits_held), ',', ''),
               array_to_string(array_agg(a.credits_posted), ',', ''),
               array_to_string(array_agg(a.credits_held), ',', ''),
               array_to_string(array_agg(a.debit_limit), ',', ''),
               array_to_string(array_agg(a.credit_limit), ',', '')
        INTO a_id, a_code, a_currency, a_mirrors, a_closed, a_debits_posted, a_debits_held,
             a_credits_posted, a_credits_held, a_debit_limit, a_credit_limit
        FROM (SELECT i.* FROM ledger.account i WHERE i.book = the_book AND i.id = ANY(numbers)
              UNION
              SELECT c.* FROM ledger.account c WHERE c.book = the_book AND c.code = ANY(codes)) a;
    END IF;
END $$;

-- The recorded transfers of these ids, and those that resolved or reversed one of them.
CREATE FUNCTION ledger.known_transfers(the_book text, ids uuid[])
RETURNS SETOF ledger.transfer LANGUAGE plpgsql STABLE SET enable_seqscan = off SET jit = off AS $$
BEGIN
    RETURN QUERY SELECT t.* FROM ledger.transfer t WHERE t.book = the_book AND t.id = ANY(ids);
    RETURN QUERY SELECT t.* FROM ledger.transfer t
        WHERE t.book = the_book AND t.refers_to = ANY(ids) AND t.id <> ALL(ids);
END $$;
"""

_APPEND_ONLY = "".join(
    f"""
    CREATE TRIGGER {table}_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.{table}
        FOR EACH STATEMENT EXECUTE FUNCTION base.refuse_change();
    """
    for table in ("transfer", "block", "limits", "day")
)


def upgrade() -> None:
    for part in (_BOOKS, _ACCOUNTS, _TRANSFERS, _READING, _APPEND_ONLY):
        op.execute(part)
