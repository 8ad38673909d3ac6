"""parties: persons, personal fields, consent, identity, devices, contacts."""

from alembic import op

revision = "parties_0001"
down_revision = None
branch_labels = ("parties",)
depends_on = ("base_0002",)

PARTIES = """
CREATE SCHEMA parties;
GRANT USAGE ON SCHEMA parties TO steelyard_app;

CREATE TABLE parties.party (
    id uuid PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('customer', 'merchant', 'institution')),
    state text NOT NULL CHECK (state IN ('applied', 'active', 'restricted', 'closed')),
    version bigint NOT NULL DEFAULT 1 CHECK (version > 0),
    identity_level smallint NOT NULL DEFAULT 0 CHECK (identity_level BETWEEN 0 AND 3),
    cause text NOT NULL CHECK (cause <> ''),
    decision_id uuid,
    reasons text[] NOT NULL DEFAULT '{}',
    channel text NOT NULL CHECK (channel ~ '^[a-z][a-z0-9_]{0,39}$'),
    origin text UNIQUE CHECK (origin ~ '^[a-z_][a-z0-9_]*:.+'),
    content bytea CHECK (octet_length(content) = 32),
    region text CHECK (region ~ '^[A-Za-z0-9:/_.-]{1,40}$'),
    registered_at timestamptz NOT NULL,
    erased_at timestamptz,
    CHECK (kind = 'customer' OR identity_level = 0),
    CHECK (erased_at IS NULL OR state = 'closed')
);
COMMENT ON COLUMN parties.party.content IS
    'keyed hash of what was registered under the origin, to tell a repeat from a conflict';
CREATE INDEX party_by_kind ON parties.party (kind, id);
GRANT SELECT, INSERT ON parties.party TO steelyard_app;
GRANT UPDATE (state, version, identity_level, content, region, erased_at)
    ON parties.party TO steelyard_app;

CREATE TABLE parties.legal_entity (
    party uuid PRIMARY KEY REFERENCES parties.party,
    legal_name text NOT NULL CHECK (legal_name <> ''),
    country char(2) NOT NULL CHECK (country ~ '^[A-Z]{2}$'),
    number text NOT NULL CHECK (number <> ''),
    number_is_checked boolean NOT NULL,
    industry text CHECK (industry ~ '^[0-9]{4}$'),
    licence_until_on date,
    UNIQUE (country, number)
);
GRANT SELECT, INSERT ON parties.legal_entity TO steelyard_app;

CREATE TABLE parties.relation (
    id uuid PRIMARY KEY,
    party uuid NOT NULL REFERENCES parties.party,
    kind text NOT NULL
        CHECK (kind IN ('owner', 'beneficial_owner', 'legal_representative', 'authorised')),
    of uuid NOT NULL REFERENCES parties.party CHECK (of <> party),
    share_bp integer CHECK (share_bp BETWEEN 1 AND 10000),
    since_at timestamptz NOT NULL,
    ended_at timestamptz CHECK (ended_at >= since_at)
);
CREATE UNIQUE INDEX relation_in_force ON parties.relation (of, kind, party)
    WHERE ended_at IS NULL;
CREATE INDEX relation_by_party ON parties.relation (party);
GRANT SELECT, INSERT, UPDATE (ended_at) ON parties.relation TO steelyard_app;

CREATE TABLE parties.account_link (
    party uuid NOT NULL REFERENCES parties.party,
    account text NOT NULL CHECK (account ~ '^[a-z][a-z_]*:.+'),
    role text NOT NULL CHECK (role IN ('owner', 'authorised')),
    linked_at timestamptz NOT NULL,
    PRIMARY KEY (party, account, role)
);
CREATE INDEX account_link_by_account ON parties.account_link (account);
GRANT SELECT, INSERT ON parties.account_link TO steelyard_app;
"""

PERSONAL = """
CREATE TABLE parties.personal_field (
    party uuid NOT NULL REFERENCES parties.party,
    field text NOT NULL CHECK
        (field IN ('name', 'id_number', 'phone', 'email', 'address', 'birth_on', 'sex')),
    ordinal smallint NOT NULL DEFAULT 0 CHECK (ordinal >= 0),
    sealed bytea NOT NULL,
    blind bytea CHECK (octet_length(blind) = 32),
    recorded_at timestamptz NOT NULL,
    PRIMARY KEY (party, field, ordinal),
    CHECK (ordinal = 0 OR field IN ('phone', 'email', 'address')),
    CHECK (blind IS NULL OR field IN ('name', 'id_number', 'phone', 'email'))
);
COMMENT ON TABLE parties.personal_field IS
    'sealed under the data key of the party; blind is a keyed hash to find an exact value by';
CREATE INDEX personal_field_by_value ON parties.personal_field (blind) WHERE blind IS NOT NULL;
GRANT SELECT, INSERT, UPDATE, DELETE ON parties.personal_field TO steelyard_app;

CREATE TABLE parties.contact (
    party uuid NOT NULL,
    field text NOT NULL CHECK (field IN ('phone', 'email', 'address')),
    ordinal smallint NOT NULL,
    verified_at timestamptz,
    is_preferred boolean NOT NULL DEFAULT false,
    quiet_from time,
    quiet_until time,
    quiet_zone text,
    PRIMARY KEY (party, field, ordinal),
    FOREIGN KEY (party, field, ordinal)
        REFERENCES parties.personal_field (party, field, ordinal) ON DELETE CASCADE,
    CHECK ((quiet_from IS NULL) = (quiet_until IS NULL)
        AND (quiet_from IS NULL) = (quiet_zone IS NULL))
);
CREATE UNIQUE INDEX contact_preferred ON parties.contact (party) WHERE is_preferred;
GRANT SELECT, INSERT, UPDATE, DELETE ON parties.contact TO steelyard_app;

CREATE TABLE parties.consent_text (
    purpose text NOT NULL CHECK (purpose <> ''),
    version integer NOT NULL CHECK (version > 0),
    zh text NOT NULL CHECK (zh <> ''),
    en text NOT NULL CHECK (en <> ''),
    hash bytea NOT NULL CHECK (octet_length(hash) = 32),
    changes_substance boolean NOT NULL,
    published_at timestamptz NOT NULL,
    PRIMARY KEY (purpose, version),
    UNIQUE (purpose, version, hash)
);
CREATE TABLE parties.consent (
    sequence bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    party uuid NOT NULL REFERENCES parties.party,
    purpose text NOT NULL,
    act text NOT NULL CHECK (act IN ('granted', 'withdrawn')),
    text_version integer NOT NULL,
    text_hash bytea NOT NULL,
    channel text NOT NULL CHECK (channel ~ '^[a-z][a-z0-9_]{0,39}$'),
    actor text NOT NULL,
    at timestamptz NOT NULL,
    FOREIGN KEY (purpose, text_version, text_hash)
        REFERENCES parties.consent_text (purpose, version, hash)
);
CREATE INDEX consent_by_party ON parties.consent (party, purpose, sequence);
GRANT SELECT, INSERT ON parties.consent_text, parties.consent TO steelyard_app;
CREATE TRIGGER consent_text_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE
    ON parties.consent_text FOR EACH STATEMENT EXECUTE FUNCTION base.refuse_change();
CREATE TRIGGER consent_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE
    ON parties.consent FOR EACH STATEMENT EXECUTE FUNCTION base.refuse_change();
"""

IDENTITY = """
CREATE TABLE parties.identity_attempt (
    id uuid PRIMARY KEY,
    party uuid NOT NULL REFERENCES parties.party,
    number integer NOT NULL CHECK (number > 0),
    step text NOT NULL CHECK (step IN ('number', 'phone_code', 'phone', 'name', 'face')),
    provider text NOT NULL,
    about bytea NOT NULL CHECK (octet_length(about) = 32),
    answers uuid REFERENCES parties.identity_attempt,
    state text NOT NULL CHECK
        (state IN ('intended', 'passed', 'failed', 'unknown', 'void', 'disputed')),
    version bigint NOT NULL DEFAULT 1,
    started_at timestamptz NOT NULL,
    started_wall_at timestamptz NOT NULL,
    asked_wall_at timestamptz NOT NULL,
    UNIQUE (party, number),
    CHECK ((step = 'phone') = (answers IS NOT NULL))
);
CREATE INDEX identity_attempt_unsettled ON parties.identity_attempt (asked_wall_at)
    WHERE state IN ('intended', 'unknown');
CREATE INDEX identity_attempt_answers ON parties.identity_attempt (answers)
    WHERE answers IS NOT NULL;
CREATE INDEX identity_attempt_disputed ON parties.identity_attempt (id) WHERE state = 'disputed';
GRANT SELECT, INSERT, UPDATE (state, version, asked_wall_at) ON parties.identity_attempt TO steelyard_app;

CREATE TABLE parties.identity_evidence (
    sequence bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    attempt uuid NOT NULL REFERENCES parties.identity_attempt,
    source text NOT NULL CHECK (source IN ('answer', 'poll', 'operator')),
    finding text NOT NULL CHECK (finding IN ('passed', 'failed', 'unknown', 'not_received')),
    reason text NOT NULL,
    reference text NOT NULL,
    actor text NOT NULL,
    recorded_at timestamptz NOT NULL
);
CREATE UNIQUE INDEX identity_evidence_once
    ON parties.identity_evidence (attempt, source, finding, reference) WHERE source <> 'operator';
CREATE INDEX identity_evidence_by_attempt ON parties.identity_evidence (attempt, sequence);
GRANT SELECT, INSERT ON parties.identity_evidence TO steelyard_app;
CREATE TRIGGER identity_evidence_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE
    ON parties.identity_evidence FOR EACH STATEMENT EXECUTE FUNCTION base.refuse_change();

CREATE TABLE parties.identity_claim (
    blind bytea PRIMARY KEY CHECK (octet_length(blind) = 32),
    party uuid NOT NULL UNIQUE REFERENCES parties.party
);
COMMENT ON TABLE parties.identity_claim IS
    'the one customer who proved by name to own an identity number';
GRANT SELECT, INSERT, DELETE ON parties.identity_claim TO steelyard_app;
"""

DEVICES = """
CREATE TABLE parties.device (
    id uuid PRIMARY KEY,
    fingerprint bytea NOT NULL UNIQUE CHECK (octet_length(fingerprint) = 32),
    kind text NOT NULL CHECK (kind IN ('web', 'ios', 'android', 'terminal')),
    first_seen_at timestamptz NOT NULL,
    last_seen_at timestamptz NOT NULL,
    blocked_at timestamptz,
    blocked_reason text,
    CHECK ((blocked_at IS NULL) = (blocked_reason IS NULL))
);
COMMENT ON COLUMN parties.device.fingerprint IS 'keyed hash; the fingerprint itself is not kept';
GRANT SELECT, INSERT, UPDATE (last_seen_at, blocked_at, blocked_reason)
    ON parties.device TO steelyard_app;

CREATE TABLE parties.device_link (
    party uuid NOT NULL REFERENCES parties.party,
    device uuid NOT NULL REFERENCES parties.device,
    first_seen_at timestamptz NOT NULL,
    last_seen_at timestamptz NOT NULL,
    sightings bigint NOT NULL DEFAULT 1 CHECK (sightings > 0),
    trusted_at timestamptz,
    PRIMARY KEY (party, device)
);
CREATE INDEX device_link_by_device ON parties.device_link (device);
GRANT SELECT, INSERT, DELETE, UPDATE (last_seen_at, sightings, trusted_at)
    ON parties.device_link TO steelyard_app;
"""


def upgrade() -> None:
    for part in (PARTIES, PERSONAL, IDENTITY, DEVICES):
        op.execute(part)
