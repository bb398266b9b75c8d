-- Password rules, trusts, credentials, access rules, limits, domain configuration, endpoint filters.

ALTER TABLE account ADD COLUMN password_expires_at BIGINT;              -- null: never
ALTER TABLE account ADD COLUMN password_own BIGINT NOT NULL DEFAULT 0;  -- 1: set by the user, not by an administrator
ALTER TABLE account ADD COLUMN failed_logins BIGINT NOT NULL DEFAULT 0; -- in a row
ALTER TABLE account ADD COLUMN failed_at BIGINT;
ALTER TABLE account ADD COLUMN active_at BIGINT;                        -- a login of the day when it was last used

-- Passwords that an account had before its present one, as far as they must not come back.
CREATE TABLE account_password (
    user_id     TEXT NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    at          BIGINT NOT NULL,                -- when it was replaced
    hash        TEXT NOT NULL,                  -- argon2id
    PRIMARY KEY (user_id, at)
);

-- The trustee may act in the project with some of the trustor's roles.
CREATE TABLE trust (
    id          TEXT PRIMARY KEY,
    trustor_id  TEXT NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    trustee_id  TEXT NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    project_id  TEXT NOT NULL REFERENCES project (id) ON DELETE CASCADE,
    impersonation BIGINT NOT NULL,
    roles       TEXT NOT NULL,                  -- JSON list of role ids
    redelegated_from TEXT REFERENCES trust (id) ON DELETE CASCADE,
    redelegation_count BIGINT NOT NULL DEFAULT 0,   -- how many more times it may be passed on
    remaining_uses BIGINT CHECK (remaining_uses >= 0),  -- null: any number
    expires_at  BIGINT,
    extra       TEXT NOT NULL DEFAULT '{}',
    created_at  BIGINT NOT NULL
);
CREATE INDEX trust_trustor ON trust (trustor_id);
CREATE INDEX trust_trustee ON trust (trustee_id);

-- Secrets that users keep here: ec2 keys, TOTP seeds, certificates.
CREATE TABLE credential (
    id          TEXT PRIMARY KEY,
    user_id     TEXT NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    project_id  TEXT REFERENCES project (id) ON DELETE CASCADE,
    type        TEXT NOT NULL,
    blob        TEXT NOT NULL,                  -- sealed by the master key
    access_hash TEXT UNIQUE,                    -- of an ec2 key: hex SHA-256 of its public half
    used_step   BIGINT NOT NULL DEFAULT 0,      -- of a TOTP seed: the newest step whose code was used
    extra       TEXT NOT NULL DEFAULT '{}',
    created_at  BIGINT NOT NULL
);
CREATE INDEX credential_user ON credential (user_id, type);

-- What an application credential may be used for. An empty list in the credential means everything.
CREATE TABLE access_rule (
    id          TEXT PRIMARY KEY,
    user_id     TEXT NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    service     TEXT NOT NULL,
    method      TEXT NOT NULL,
    path        TEXT NOT NULL,
    created_at  BIGINT NOT NULL,
    UNIQUE (user_id, service, method, path)
);
ALTER TABLE application_credential ADD COLUMN access_rules TEXT NOT NULL DEFAULT '[]';  -- JSON list of rule ids

CREATE TABLE registered_limit (
    id          TEXT PRIMARY KEY,
    service_id  TEXT NOT NULL REFERENCES service (id),
    region_id   TEXT NOT NULL DEFAULT '',       -- '' for every region
    resource_name TEXT NOT NULL,
    default_limit BIGINT NOT NULL,
    description TEXT,
    created_at  BIGINT NOT NULL,
    UNIQUE (service_id, region_id, resource_name)
);

-- What a project or a domain has instead of the registered default.
CREATE TABLE resource_limit (
    id          TEXT PRIMARY KEY,
    registered_id TEXT NOT NULL REFERENCES registered_limit (id),
    project_id  TEXT REFERENCES project (id) ON DELETE CASCADE,
    domain_id   TEXT REFERENCES domain (id) ON DELETE CASCADE,
    resource_limit BIGINT NOT NULL,
    description TEXT,
    created_at  BIGINT NOT NULL
);
CREATE UNIQUE INDEX resource_limit_project ON resource_limit (registered_id, project_id) WHERE project_id IS NOT NULL;
CREATE UNIQUE INDEX resource_limit_domain ON resource_limit (registered_id, domain_id) WHERE domain_id IS NOT NULL;

CREATE TABLE domain_config (
    domain_id   TEXT NOT NULL REFERENCES domain (id) ON DELETE CASCADE,
    section     TEXT NOT NULL,                  -- identity, ldap
    name        TEXT NOT NULL,
    value       TEXT NOT NULL,                  -- JSON, sealed by the master key
    PRIMARY KEY (domain_id, section, name)
);

-- Documents of other services that clients keep here; nothing reads them.
CREATE TABLE legacy_policy (
    id          TEXT PRIMARY KEY,
    type        TEXT NOT NULL,
    blob        TEXT NOT NULL,                  -- JSON
    extra       TEXT NOT NULL DEFAULT '{}',
    created_at  BIGINT NOT NULL
);

-- A project with endpoints of its own, directly or through a group, has only those in its catalogue.
CREATE TABLE endpoint_group (
    id          TEXT PRIMARY KEY,
    name        TEXT NOT NULL,
    description TEXT,
    filters     TEXT NOT NULL,                  -- JSON: service_id, region_id, interface
    created_at  BIGINT NOT NULL
);
CREATE TABLE endpoint_group_project (
    endpoint_group_id TEXT NOT NULL REFERENCES endpoint_group (id) ON DELETE CASCADE,
    project_id  TEXT NOT NULL REFERENCES project (id) ON DELETE CASCADE,
    PRIMARY KEY (endpoint_group_id, project_id)
);
CREATE TABLE endpoint_project (
    endpoint_id TEXT NOT NULL REFERENCES endpoint (id) ON DELETE CASCADE,
    project_id  TEXT NOT NULL REFERENCES project (id) ON DELETE CASCADE,
    PRIMARY KEY (endpoint_id, project_id)
);

CREATE INDEX audit_at ON audit (at);
CREATE INDEX audit_user ON audit (user_id, at);
