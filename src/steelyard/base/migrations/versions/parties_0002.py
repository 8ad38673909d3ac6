"""parties: staff, second factors, sessions, roles, API keys, nonces, approvals."""

from alembic import op

revision = "parties_0002"
down_revision = "parties_0001"
branch_labels = None
depends_on = None

STAFF = """
CREATE TABLE parties.staff (
    id uuid PRIMARY KEY,
    user_name text NOT NULL UNIQUE CHECK (user_name ~ '^[a-z][a-z0-9_.-]{1,39}$'),
    name bytea NOT NULL,
    email bytea NOT NULL,
    state text NOT NULL CHECK (state IN ('active', 'suspended', 'left')),
    version bigint NOT NULL DEFAULT 1 CHECK (version > 0),
    password_hash text NOT NULL CHECK (password_hash LIKE '$argon2id$%'),
    totp_secret bytea,
    totp_pending bytea,
    totp_last_step bigint NOT NULL DEFAULT 0,
    hired_at timestamptz NOT NULL
);
COMMENT ON COLUMN parties.staff.name IS 'sealed, as e-mail and the secrets of the authenticator';
COMMENT ON COLUMN parties.staff.totp_last_step IS
    'the last 30-second step whose code was taken: no code is good twice';
GRANT SELECT, INSERT ON parties.staff TO steelyard_app;
GRANT UPDATE (state, version, password_hash, totp_secret, totp_pending, totp_last_step)
    ON parties.staff TO steelyard_app;

CREATE TABLE parties.recovery_code (
    staff uuid NOT NULL REFERENCES parties.staff,
    hash bytea NOT NULL CHECK (octet_length(hash) = 32),
    PRIMARY KEY (staff, hash)
);
GRANT SELECT, INSERT, DELETE ON parties.recovery_code TO steelyard_app;

CREATE TABLE parties.passkey (
    credential bytea PRIMARY KEY,
    staff uuid NOT NULL REFERENCES parties.staff,
    name text NOT NULL CHECK (name <> ''),
    public_key bytea NOT NULL,
    sign_count bigint NOT NULL CHECK (sign_count >= 0),
    domain text NOT NULL,
    registered_at timestamptz NOT NULL,
    last_used_at timestamptz
);
CREATE INDEX passkey_by_staff ON parties.passkey (staff);
GRANT SELECT, INSERT, DELETE, UPDATE (sign_count, last_used_at)
    ON parties.passkey TO steelyard_app;

CREATE TABLE parties.challenge (
    token bytea PRIMARY KEY CHECK (octet_length(token) = 32),
    purpose text NOT NULL CHECK (purpose IN ('second_step', 'passkey', 'phone_code')),
    staff uuid REFERENCES parties.staff,
    party uuid REFERENCES parties.party,
    secret bytea,
    tries smallint NOT NULL DEFAULT 0,
    made_wall_at timestamptz NOT NULL,
    expires_wall_at timestamptz NOT NULL,
    CHECK ((staff IS NULL) <> (party IS NULL))
);
COMMENT ON TABLE parties.challenge IS 'short-lived and single-use: deleted when it is met';
CREATE INDEX challenge_by_age ON parties.challenge (expires_wall_at);
CREATE INDEX challenge_by_party ON parties.challenge (party) WHERE party IS NOT NULL;
GRANT SELECT, INSERT, DELETE, UPDATE (secret, tries) ON parties.challenge TO steelyard_app;

CREATE TABLE parties.sign_in_attempt (
    subject bytea PRIMARY KEY CHECK (octet_length(subject) = 32),
    failures integer NOT NULL CHECK (failures >= 0),
    last_wall_at timestamptz NOT NULL,
    locked_until_wall_at timestamptz NOT NULL
);
COMMENT ON COLUMN parties.sign_in_attempt.subject IS
    'keyed hash of a user name, phone number or network address';
CREATE INDEX sign_in_attempt_by_age ON parties.sign_in_attempt (last_wall_at);
GRANT SELECT, INSERT, UPDATE, DELETE ON parties.sign_in_attempt TO steelyard_app;

CREATE TABLE parties.session (
    id uuid PRIMARY KEY,
    token bytea NOT NULL UNIQUE CHECK (octet_length(token) = 32),
    staff uuid REFERENCES parties.staff,
    party uuid REFERENCES parties.party,
    factors text[] NOT NULL CHECK (cardinality(factors) > 0),
    agent text NOT NULL,
    opened_wall_at timestamptz NOT NULL,
    seen_wall_at timestamptz NOT NULL,
    expires_wall_at timestamptz NOT NULL,
    ended_wall_at timestamptz,
    CHECK ((staff IS NULL) <> (party IS NULL))
);
COMMENT ON COLUMN parties.session.token IS 'SHA-256 of the token, which is kept nowhere';
CREATE INDEX session_by_staff ON parties.session (staff) WHERE staff IS NOT NULL;
CREATE INDEX session_by_party ON parties.session (party) WHERE party IS NOT NULL;
CREATE INDEX session_by_age ON parties.session (expires_wall_at);
GRANT SELECT, INSERT, DELETE, UPDATE (factors, seen_wall_at, ended_wall_at)
    ON parties.session TO steelyard_app;
"""

ROLES = """
CREATE TABLE parties.role (
    name text PRIMARY KEY CHECK (name ~ '^[a-z][a-z0-9_]{1,39}$'),
    audience text NOT NULL CHECK (audience IN ('staff', 'machine', 'customer')),
    entitlements text[] NOT NULL,
    en text NOT NULL,
    zh text NOT NULL,
    needs_second_factor boolean NOT NULL,
    is_built_in boolean NOT NULL,
    version integer NOT NULL DEFAULT 1 CHECK (version > 0)
);
GRANT SELECT, INSERT ON parties.role TO steelyard_app;
GRANT UPDATE (entitlements, en, zh, needs_second_factor, version)
    ON parties.role TO steelyard_app;

CREATE TABLE parties.role_grant (
    id uuid PRIMARY KEY,
    staff uuid NOT NULL REFERENCES parties.staff,
    role text NOT NULL REFERENCES parties.role,
    cause text NOT NULL CHECK (cause ~ '^[a-z][A-Za-z0-9_.:-]*@[0-9A-Za-z.]+$'),
    granted_by text NOT NULL,
    granted_at timestamptz NOT NULL,
    revoked_by text,
    revoked_at timestamptz,
    CHECK ((revoked_by IS NULL) = (revoked_at IS NULL))
);
CREATE UNIQUE INDEX role_grant_in_force ON parties.role_grant (staff, role)
    WHERE revoked_at IS NULL;
GRANT SELECT, INSERT, UPDATE (revoked_by, revoked_at) ON parties.role_grant TO steelyard_app;
"""

KEYS = """
CREATE TABLE parties.api_key (
    id text PRIMARY KEY CHECK (id ~ '^ak_[A-Za-z0-9]{20}$'),
    name text NOT NULL CHECK (name <> ''),
    kind text NOT NULL CHECK (kind IN ('signed', 'development')),
    role text REFERENCES parties.role,
    entitlements text[] NOT NULL,
    party uuid REFERENCES parties.party,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL,
    expires_wall_at timestamptz,
    revoked_wall_at timestamptz
);
GRANT SELECT, INSERT, UPDATE (expires_wall_at, revoked_wall_at)
    ON parties.api_key TO steelyard_app;

CREATE TABLE parties.api_secret (
    key text NOT NULL REFERENCES parties.api_key,
    number integer NOT NULL CHECK (number > 0),
    sealed bytea,
    hash bytea UNIQUE CHECK (octet_length(hash) = 32),
    hint text NOT NULL,
    made_wall_at timestamptz NOT NULL,
    expires_wall_at timestamptz,
    PRIMARY KEY (key, number),
    CHECK ((sealed IS NULL) <> (hash IS NULL))
);
COMMENT ON TABLE parties.api_secret IS
    'the newest has no end; the one before ends when the overlap of the rotation is over';
CREATE UNIQUE INDEX api_secret_newest ON parties.api_secret (key) WHERE expires_wall_at IS NULL;
GRANT SELECT, INSERT, DELETE, UPDATE (expires_wall_at) ON parties.api_secret TO steelyard_app;

CREATE TABLE parties.nonce (
    bucket smallint NOT NULL CHECK (bucket BETWEEN 0 AND 3),
    digest bytea NOT NULL CHECK (octet_length(digest) = 16),
    PRIMARY KEY (bucket, digest)
) PARTITION BY LIST (bucket);
COMMENT ON TABLE parties.nonce IS
    'used nonces by the ten minutes of their timestamp; a bucket out of the window is truncated';
CREATE TABLE parties.nonce_0 PARTITION OF parties.nonce FOR VALUES IN (0);
CREATE TABLE parties.nonce_1 PARTITION OF parties.nonce FOR VALUES IN (1);
CREATE TABLE parties.nonce_2 PARTITION OF parties.nonce FOR VALUES IN (2);
CREATE TABLE parties.nonce_3 PARTITION OF parties.nonce FOR VALUES IN (3);
GRANT SELECT, INSERT ON parties.nonce TO steelyard_app;
GRANT TRUNCATE ON parties.nonce_0, parties.nonce_1, parties.nonce_2, parties.nonce_3
    TO steelyard_app;
"""

APPROVALS = """
CREATE TABLE parties.approval (
    id uuid PRIMARY KEY,
    kind text NOT NULL CHECK (kind ~ '^[a-z_]+[.][a-z_]+$'),
    kind_version integer NOT NULL CHECK (kind_version > 0),
    verb text NOT NULL CHECK (verb <> ''),
    subject text NOT NULL CHECK (subject ~ '^[a-z][a-z_]*:.+'),
    shown text NOT NULL,
    shown_hash text NOT NULL CHECK (shown_hash ~ '^[0-9a-f]{64}$'),
    requested_by text NOT NULL,
    answerable text NOT NULL,
    requested_at timestamptz NOT NULL,
    expires_wall_at timestamptz NOT NULL,
    state text NOT NULL CHECK
        (state IN ('requested', 'approved', 'rejected', 'withdrawn', 'expired', 'consumed')),
    version integer NOT NULL DEFAULT 1 CHECK (version > 0),
    decided_by text CHECK (decided_by LIKE 'staff:%'),
    decided_at timestamptz,
    reason text NOT NULL DEFAULT '',
    closed_at timestamptz,
    CHECK (decided_by <> requested_by AND decided_by <> answerable),
    CHECK ((decided_by IS NULL) = (decided_at IS NULL)),
    CHECK (state NOT IN ('approved', 'rejected', 'consumed') OR decided_by IS NOT NULL),
    CHECK (state NOT IN ('requested', 'withdrawn') OR decided_by IS NULL),
    CHECK ((closed_at IS NULL) = (state IN ('requested', 'approved')))
);
CREATE INDEX approval_open ON parties.approval (expires_wall_at)
    WHERE state IN ('requested', 'approved');
CREATE INDEX approval_by_subject ON parties.approval (subject, id);
CREATE INDEX approval_by_state ON parties.approval (state, id);
GRANT SELECT, INSERT ON parties.approval TO steelyard_app;
GRANT UPDATE (state, version, decided_by, decided_at, reason, closed_at)
    ON parties.approval TO steelyard_app;

CREATE FUNCTION parties.refuse_reopening() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.state = 'requested' AND NEW.state IN ('approved', 'rejected', 'withdrawn', 'expired')
        OR OLD.state = 'approved' AND NEW.state IN ('consumed', 'expired')
            AND NEW.decided_by = OLD.decided_by AND NEW.decided_at = OLD.decided_at THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'approval % does not go from % to %', OLD.id, OLD.state, NEW.state
        USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER approval_goes_forward BEFORE UPDATE ON parties.approval
    FOR EACH ROW EXECUTE FUNCTION parties.refuse_reopening();
"""


def upgrade() -> None:
    for part in (STAFF, ROLES, KEYS, APPROVALS):
        op.execute(part)
