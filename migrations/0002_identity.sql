CREATE TABLE domain (
    id          TEXT PRIMARY KEY,
    name        TEXT NOT NULL UNIQUE,
    description TEXT NOT NULL DEFAULT '',
    enabled     BIGINT NOT NULL DEFAULT 1,
    extra       TEXT NOT NULL DEFAULT '{}',     -- unknown fields, kept and returned
    created_at  BIGINT NOT NULL
);

CREATE TABLE project (
    id          TEXT PRIMARY KEY,
    domain_id   TEXT NOT NULL REFERENCES domain (id),
    parent_id   TEXT NOT NULL,                  -- a project, or the domain itself
    name        TEXT NOT NULL,
    description TEXT NOT NULL DEFAULT '',
    enabled     BIGINT NOT NULL DEFAULT 1,
    extra       TEXT NOT NULL DEFAULT '{}',
    created_at  BIGINT NOT NULL,
    UNIQUE (domain_id, name)
);

CREATE TABLE project_tag (
    project_id  TEXT NOT NULL REFERENCES project (id) ON DELETE CASCADE,
    tag         TEXT NOT NULL,
    PRIMARY KEY (project_id, tag)
);

CREATE TABLE account (                          -- a user; `user` is a reserved word
    id          TEXT PRIMARY KEY,
    domain_id   TEXT NOT NULL REFERENCES domain (id),
    name        TEXT NOT NULL,
    enabled     BIGINT NOT NULL DEFAULT 1,
    default_project_id TEXT,
    password_hash TEXT,                         -- argon2id; null: cannot log in by password
    password_at BIGINT,
    description TEXT NOT NULL DEFAULT '',
    extra       TEXT NOT NULL DEFAULT '{}',
    created_at  BIGINT NOT NULL,
    UNIQUE (domain_id, name)
);

CREATE TABLE role (
    id          TEXT PRIMARY KEY,
    domain_id   TEXT NOT NULL DEFAULT '',       -- '' for a role of the whole installation
    name        TEXT NOT NULL,
    description TEXT NOT NULL DEFAULT '',
    extra       TEXT NOT NULL DEFAULT '{}',
    created_at  BIGINT NOT NULL,
    UNIQUE (domain_id, name)
);

CREATE TABLE role_implied (
    prior_id    TEXT NOT NULL REFERENCES role (id) ON DELETE CASCADE,
    implied_id  TEXT NOT NULL REFERENCES role (id) ON DELETE CASCADE,
    PRIMARY KEY (prior_id, implied_id)
);

-- Who has which role where. Target is a project, a domain, or the system ('all').
CREATE TABLE role_grant (
    role_id     TEXT NOT NULL REFERENCES role (id) ON DELETE CASCADE,
    actor_kind  TEXT NOT NULL,                  -- user, group
    actor_id    TEXT NOT NULL,
    target_kind TEXT NOT NULL,                  -- project, domain, system
    target_id   TEXT NOT NULL,
    inherited   BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (actor_id, target_id, role_id, inherited, actor_kind, target_kind)
);
CREATE INDEX role_grant_target ON role_grant (target_id);

CREATE TABLE account_group (
    id          TEXT PRIMARY KEY,
    domain_id   TEXT NOT NULL REFERENCES domain (id),
    name        TEXT NOT NULL,
    description TEXT NOT NULL DEFAULT '',
    extra       TEXT NOT NULL DEFAULT '{}',
    created_at  BIGINT NOT NULL,
    UNIQUE (domain_id, name)
);

CREATE TABLE account_group_member (
    group_id    TEXT NOT NULL REFERENCES account_group (id) ON DELETE CASCADE,
    user_id     TEXT NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    PRIMARY KEY (group_id, user_id)
);

-- A token names its audit id; revoking one is a row here until the token would have expired.
-- One with a user or a project revokes everything issued until `at`.
CREATE TABLE revocation (
    id          TEXT PRIMARY KEY,
    audit_id    TEXT NOT NULL DEFAULT '',
    user_id     TEXT NOT NULL DEFAULT '',
    project_id  TEXT NOT NULL DEFAULT '',
    at          BIGINT NOT NULL,
    expires_at  BIGINT NOT NULL
);
CREATE INDEX revocation_expiry ON revocation (expires_at);
CREATE INDEX revocation_audit ON revocation (audit_id);
CREATE INDEX revocation_user ON revocation (user_id, at);
CREATE INDEX revocation_project ON revocation (project_id, at);

CREATE TABLE application_credential (
    id          TEXT PRIMARY KEY,
    user_id     TEXT NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    project_id  TEXT NOT NULL REFERENCES project (id) ON DELETE CASCADE,
    name        TEXT NOT NULL,
    description TEXT NOT NULL DEFAULT '',
    secret_hash TEXT NOT NULL,                  -- argon2id
    roles       TEXT NOT NULL,                  -- JSON list of role ids
    unrestricted BIGINT NOT NULL DEFAULT 0,
    expires_at  BIGINT,
    created_at  BIGINT NOT NULL,
    UNIQUE (user_id, name)
);

-- Fernet keys that seal tokens. The newest one that every process has had time to read seals; every row opens.
CREATE TABLE token_key (
    id          TEXT PRIMARY KEY,
    secret      TEXT NOT NULL,                  -- the key, sealed by the master key in the data directory
    created_at  BIGINT NOT NULL
);

CREATE TABLE region (
    id          TEXT PRIMARY KEY,
    parent_id   TEXT,
    description TEXT NOT NULL DEFAULT '',
    extra       TEXT NOT NULL DEFAULT '{}',
    created_at  BIGINT NOT NULL
);

CREATE TABLE service (
    id          TEXT PRIMARY KEY,
    type        TEXT NOT NULL,
    name        TEXT NOT NULL DEFAULT '',
    description TEXT NOT NULL DEFAULT '',
    enabled     BIGINT NOT NULL DEFAULT 1,
    extra       TEXT NOT NULL DEFAULT '{}',
    created_at  BIGINT NOT NULL
);

-- A url that starts with '/' is one of ours: the catalogue puts the requested Host before it.
CREATE TABLE endpoint (
    id          TEXT PRIMARY KEY,
    service_id  TEXT NOT NULL REFERENCES service (id) ON DELETE CASCADE,
    interface   TEXT NOT NULL,                  -- public, internal, admin
    region_id   TEXT,
    url         TEXT NOT NULL,                  -- may hold $(project_id)s
    enabled     BIGINT NOT NULL DEFAULT 1,
    extra       TEXT NOT NULL DEFAULT '{}',
    created_at  BIGINT NOT NULL
);
CREATE INDEX endpoint_service ON endpoint (service_id);
