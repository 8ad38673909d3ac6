"""payments: currency rates, quotes, conversions, cross-border payments."""

from alembic import op

revision = "payments_0008"
down_revision = "payments_0007"
branch_labels = None
depends_on = None

_RATES = """
CREATE TABLE payments.fx_source (
    source text PRIMARY KEY CHECK (source ~ '^[a-z][a-z0-9_]*$'),
    calendar text NOT NULL,
    cap_seconds integer NOT NULL CHECK (cap_seconds > 0),
    updated_at timestamptz NOT NULL,
    updated_by text NOT NULL CHECK (updated_by <> '')
);
COMMENT ON TABLE payments.fx_source IS 'where rates come from, and how old one may be';
COMMENT ON COLUMN payments.fx_source.cap_seconds IS 'in open time: closed days are not counted';
GRANT SELECT, INSERT, UPDATE ON payments.fx_source TO steelyard_app;

CREATE TABLE payments.fx_tick (
    id uuid PRIMARY KEY,
    source text NOT NULL,
    pivot text NOT NULL CHECK (pivot IN ('EUR', 'USD')),
    currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    bid numeric NOT NULL CHECK (bid > 0),
    ask numeric NOT NULL CHECK (ask >= bid),
    observed_at timestamptz NOT NULL,
    received_at timestamptz NOT NULL,
    actor text NOT NULL CHECK (actor <> ''),
    state text NOT NULL CHECK (state IN ('accepted', 'held', 'rejected')),
    why text NOT NULL,
    resolved_at timestamptz,
    resolved_by text,
    UNIQUE (source, pivot, currency, observed_at),
    CHECK ((resolved_at IS NULL) = (resolved_by IS NULL)),
    CHECK (state <> 'held' OR resolved_at IS NULL)
);
COMMENT ON TABLE payments.fx_tick IS 'what a source said of a currency; one that jumped is held';
CREATE INDEX fx_tick_newest ON payments.fx_tick (currency, observed_at DESC);
CREATE INDEX fx_tick_held ON payments.fx_tick (currency) WHERE state = 'held';
GRANT SELECT, INSERT ON payments.fx_tick TO steelyard_app;
GRANT UPDATE (state, resolved_at, resolved_by) ON payments.fx_tick TO steelyard_app;

CREATE TABLE payments.fx_margin (
    sell text NOT NULL CHECK (sell ~ '^([A-Z]{3}|[*])$'),
    buy text NOT NULL CHECK (buy ~ '^([A-Z]{3}|[*])$'),
    tier text NOT NULL CHECK (tier <> ''),
    starts_at timestamptz NOT NULL,
    margin_ppm integer NOT NULL CHECK (margin_ppm BETWEEN 0 AND 200000),
    set_by text NOT NULL CHECK (set_by <> ''),
    PRIMARY KEY (sell, buy, tier, starts_at)
);
COMMENT ON TABLE payments.fx_margin IS 'what is taken off the rate of the market, from a time on';
GRANT SELECT, INSERT ON payments.fx_margin TO steelyard_app;
"""

_QUOTES = """
CREATE TABLE payments.fx_quote (
    id uuid PRIMARY KEY,
    mode text NOT NULL CHECK (mode IN ('live', 'sandbox')),
    holder uuid,
    sell text NOT NULL,
    buy text NOT NULL CHECK (buy <> sell),
    side text NOT NULL CHECK (side IN ('sell', 'buy')),
    sell_minor bigint NOT NULL CHECK (sell_minor > 0),
    buy_minor bigint NOT NULL CHECK (buy_minor > 0),
    rate numeric NOT NULL CHECK (rate > 0),
    market numeric NOT NULL CHECK (market >= rate),
    mid numeric NOT NULL CHECK (mid > 0),
    margin_ppm integer NOT NULL CHECK (margin_ppm >= 0),
    premium_ppm integer NOT NULL CHECK (premium_ppm >= 0),
    lock text NOT NULL CHECK (lock IN ('none', '5m', '30m', '1h', '24h')),
    tier text NOT NULL,
    valid_from timestamptz NOT NULL,
    valid_to timestamptz NOT NULL CHECK (valid_to > valid_from),
    state text NOT NULL CHECK (state IN ('active', 'consumed', 'expired', 'cancelled')),
    version integer NOT NULL DEFAULT 1 CHECK (version > 0),
    reserved_for uuid,
    consumed_by uuid,
    consumed_at timestamptz,
    ticks jsonb NOT NULL,
    CHECK ((state = 'consumed') = (consumed_by IS NOT NULL)),
    CHECK (consumed_at IS NULL OR consumed_at < valid_to),
    CHECK (state <> 'consumed' OR holder IS NOT NULL)
) WITH (fillfactor = 80);
COMMENT ON TABLE payments.fx_quote IS 'a rate that was promised; it is used once, before its end';
COMMENT ON COLUMN payments.fx_quote.reserved_for IS 'the cross-border payment it is kept for';
CREATE INDEX fx_quote_by_holder ON payments.fx_quote (holder, id);
CREATE INDEX fx_quote_due ON payments.fx_quote (valid_to) WHERE state = 'active';
GRANT SELECT, INSERT ON payments.fx_quote TO steelyard_app;
GRANT UPDATE (state, version, reserved_for, consumed_by, consumed_at)
    ON payments.fx_quote TO steelyard_app;

CREATE TABLE payments.fx_conversion (
    id uuid PRIMARY KEY,
    mode text NOT NULL CHECK (mode IN ('live', 'sandbox')),
    quote uuid NOT NULL UNIQUE REFERENCES payments.fx_quote,
    holder uuid NOT NULL,
    sell text NOT NULL,
    buy text NOT NULL,
    sell_minor bigint NOT NULL CHECK (sell_minor > 0),
    buy_minor bigint NOT NULL CHECK (buy_minor > 0),
    rate numeric NOT NULL CHECK (rate > 0),
    executed numeric CHECK (executed > 0),
    slip_ppm integer,
    payment uuid,
    back_minor bigint NOT NULL DEFAULT 0 CHECK (back_minor BETWEEN 0 AND buy_minor),
    booked_at timestamptz NOT NULL,
    by text NOT NULL CHECK (by <> ''),
    CHECK ((executed IS NULL) = (slip_ppm IS NULL))
);
COMMENT ON TABLE payments.fx_conversion IS 'a conversion as it was posted; a quote makes one';
COMMENT ON COLUMN payments.fx_conversion.back_minor IS 'what of the bought was converted back';
CREATE INDEX fx_conversion_by_holder ON payments.fx_conversion (holder, booked_at, id);
CREATE INDEX fx_conversion_by_pair ON payments.fx_conversion (mode, sell, buy);
GRANT SELECT, INSERT ON payments.fx_conversion TO steelyard_app;
GRANT UPDATE (back_minor) ON payments.fx_conversion TO steelyard_app;

CREATE TABLE payments.fx_return (
    id uuid PRIMARY KEY,
    conversion uuid NOT NULL REFERENCES payments.fx_conversion,
    buy_minor bigint NOT NULL CHECK (buy_minor > 0),
    sell_minor bigint NOT NULL CHECK (sell_minor >= 0),
    at_rate text NOT NULL CHECK (at_rate IN ('spot', 'original')),
    rate numeric NOT NULL CHECK (rate > 0),
    at timestamptz NOT NULL,
    by text NOT NULL CHECK (by <> '')
);
COMMENT ON TABLE payments.fx_return IS 'what was converted back, at the old rate or at spot';
CREATE INDEX fx_return_by_conversion ON payments.fx_return (conversion);
GRANT SELECT, INSERT ON payments.fx_return TO steelyard_app;

CREATE TABLE payments.fx_revaluation (
    id uuid PRIMARY KEY,
    mode text NOT NULL CHECK (mode IN ('live', 'sandbox')),
    on_day date NOT NULL,
    run integer NOT NULL CHECK (run > 0),
    base text NOT NULL,
    positions jsonb NOT NULL,
    rates jsonb NOT NULL,
    gain_minor bigint NOT NULL,
    at timestamptz NOT NULL,
    by text NOT NULL CHECK (by <> ''),
    UNIQUE (mode, base, on_day, run)
);
COMMENT ON TABLE payments.fx_revaluation IS
    'our positions at the rate of a day, and what they gained since the last time';
GRANT SELECT, INSERT ON payments.fx_revaluation TO steelyard_app;
"""

_CROSS = """
CREATE TABLE payments.xb_corridor (
    provider text NOT NULL CHECK (provider ~ '^[a-z][a-z0-9_]*$'),
    sell text NOT NULL,
    buy text NOT NULL,
    country text NOT NULL CHECK (country ~ '^([A-Z]{2}|[*])$'),
    spread_ppm integer NOT NULL CHECK (spread_ppm >= 0),
    fixed_minor bigint NOT NULL CHECK (fixed_minor >= 0),
    lifting_minor bigint NOT NULL CHECK (lifting_minor >= 0),
    least_minor bigint NOT NULL CHECK (least_minor > 0),
    most_minor bigint NOT NULL CHECK (most_minor >= least_minor),
    daily_most_minor bigint CHECK (daily_most_minor > 0),
    success_ppm integer NOT NULL CHECK (success_ppm BETWEEN 1 AND 1000000),
    arrives_minutes integer NOT NULL CHECK (arrives_minutes >= 0),
    timezone text NOT NULL,
    cut_off time NOT NULL,
    calendar text NOT NULL,
    is_open boolean NOT NULL,
    updated_at timestamptz NOT NULL,
    updated_by text NOT NULL CHECK (updated_by <> ''),
    PRIMARY KEY (provider, sell, buy, country)
);
COMMENT ON TABLE payments.xb_corridor IS 'what a provider offers between two currencies';
GRANT SELECT, INSERT, UPDATE ON payments.xb_corridor TO steelyard_app;

CREATE TABLE payments.xb_payment (
    id uuid PRIMARY KEY,
    mode text NOT NULL CHECK (mode IN ('live', 'sandbox')),
    merchant uuid NOT NULL,
    payment_no text NOT NULL CHECK (payment_no <> ''),
    quote uuid NOT NULL REFERENCES payments.fx_quote,
    beneficiary jsonb NOT NULL,
    country text NOT NULL CHECK (country ~ '^[A-Z]{2}$'),
    purpose text NOT NULL CHECK (purpose <> ''),
    arrive_by timestamptz,
    loss_owner text NOT NULL CHECK (loss_owner IN ('payer', 'us', 'provider')),
    return_rate text NOT NULL CHECK (return_rate IN ('spot', 'original')),
    slip_cap_ppm integer NOT NULL CHECK (slip_cap_ppm >= 0),
    sell text NOT NULL,
    buy text NOT NULL,
    sell_minor bigint NOT NULL CHECK (sell_minor > 0),
    buy_minor bigint NOT NULL CHECK (buy_minor > 0),
    charge_minor bigint NOT NULL CHECK (charge_minor >= 0),
    state text NOT NULL CHECK (state IN ('quoted', 'locked', 'screened', 'funded', 'converted',
        'sent', 'credited', 'returned', 'recalled', 'rejected')),
    version integer NOT NULL DEFAULT 1 CHECK (version > 0),
    hold text NOT NULL DEFAULT '',
    verdict text NOT NULL DEFAULT '',
    decision uuid,
    screened_at timestamptz,
    choice jsonb NOT NULL,
    promised_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL,
    ended_at timestamptz,
    UNIQUE (merchant, mode, payment_no),
    CHECK ((ended_at IS NOT NULL)
        = (state IN ('credited', 'returned', 'recalled', 'rejected')))
) WITH (fillfactor = 70);
COMMENT ON TABLE payments.xb_payment IS 'a payment in one currency that arrives in another';
COMMENT ON COLUMN payments.xb_payment.hold IS 'why people have to look at it first';
COMMENT ON COLUMN payments.xb_payment.choice IS 'every provider with its cost, and why not';
CREATE INDEX xb_payment_newest ON payments.xb_payment (merchant, created_at DESC, id DESC);
GRANT SELECT, INSERT, UPDATE ON payments.xb_payment TO steelyard_app;

CREATE TABLE payments.xb_leg (
    payment uuid NOT NULL REFERENCES payments.xb_payment,
    no smallint NOT NULL CHECK (no > 0),
    provider text NOT NULL,
    buy_minor bigint NOT NULL CHECK (buy_minor > 0),
    sell_minor bigint NOT NULL CHECK (sell_minor >= 0),
    state text NOT NULL CHECK (state IN ('planned', 'converted', 'sending', 'sent', 'credited',
        'returned', 'recalled')),
    version integer NOT NULL DEFAULT 1 CHECK (version > 0),
    executed numeric CHECK (executed > 0),
    slip_ppm integer,
    reference text,
    leaves_on date NOT NULL,
    promised_at timestamptz NOT NULL,
    sent_at timestamptz,
    ended_at timestamptz,
    returned_minor bigint CHECK (returned_minor BETWEEN 0 AND buy_minor),
    back_minor bigint CHECK (back_minor >= 0),
    loss_minor bigint,
    next_query_at timestamptz,
    PRIMARY KEY (payment, no)
) WITH (fillfactor = 70);
COMMENT ON TABLE payments.xb_leg IS 'what one provider brings of a payment';
COMMENT ON COLUMN payments.xb_leg.promised_at IS 'when it was to arrive; ended_at: when it did';
CREATE INDEX xb_leg_by_day ON payments.xb_leg (provider, leaves_on);
CREATE INDEX xb_leg_due ON payments.xb_leg (next_query_at) WHERE next_query_at IS NOT NULL;
GRANT SELECT, INSERT, UPDATE, DELETE ON payments.xb_leg TO steelyard_app;

CREATE TABLE payments.xb_event (
    payment uuid NOT NULL REFERENCES payments.xb_payment,
    at timestamptz NOT NULL,
    no bigint GENERATED ALWAYS AS IDENTITY,
    what text NOT NULL CHECK (what <> ''),
    detail jsonb NOT NULL,
    actor text NOT NULL CHECK (actor <> ''),
    PRIMARY KEY (payment, no)
);
COMMENT ON TABLE payments.xb_event IS 'what was done to and said of a payment, one line each';
GRANT SELECT, INSERT ON payments.xb_event TO steelyard_app;
"""

_TABLES = (
    "xb_event",
    "xb_leg",
    "xb_payment",
    "xb_corridor",
    "fx_revaluation",
    "fx_return",
    "fx_conversion",
    "fx_quote",
    "fx_margin",
    "fx_tick",
    "fx_source",
)


def upgrade() -> None:
    """Create the tables."""
    op.execute(_RATES)
    op.execute(_QUOTES)
    op.execute(_CROSS)


def downgrade() -> None:
    """Drop them."""
    for table in _TABLES:
        op.execute(f"DROP TABLE payments.{table}")
