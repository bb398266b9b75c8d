-- Work, hosts, quotas, audit: what every service stands on.
-- Times are microseconds since 1970 (BIGINT); booleans are 0 or 1 (BIGINT); ids are TEXT.

-- One row per resource that has a life-cycle; id is the resource's id.
CREATE TABLE work (
    id          TEXT PRIMARY KEY,
    kind        TEXT NOT NULL,
    state       TEXT NOT NULL,              -- JSON of the life-cycle's enum
    revision    BIGINT NOT NULL DEFAULT 1,
    wake_at     BIGINT,                     -- null: rests until woken
    lease_until BIGINT NOT NULL DEFAULT 0,
    lease_by    TEXT NOT NULL DEFAULT '',
    attempt     BIGINT NOT NULL DEFAULT 0,  -- failures of the present state in a row
    since       BIGINT NOT NULL,            -- when the present state began
    budget      BIGINT,                     -- microseconds that the present state may take; null: no limit
    overrun     BIGINT NOT NULL DEFAULT 0,  -- 1 once the overrun of the present state has been reported
    reason      TEXT NOT NULL DEFAULT '',
    last_error  TEXT NOT NULL DEFAULT ''
);
CREATE INDEX work_wake ON work (wake_at, lease_until) WHERE wake_at IS NOT NULL;

CREATE TABLE event (
    id          TEXT PRIMARY KEY,           -- version 7 uuid: ordered by time
    at          BIGINT NOT NULL,
    level       TEXT NOT NULL,              -- info, warning, error
    kind        TEXT NOT NULL,
    target      TEXT NOT NULL,
    message     TEXT NOT NULL
);
CREATE INDEX event_target ON event (target, at);

-- Who asked for what, with the request that it came by.
CREATE TABLE audit (
    id          TEXT PRIMARY KEY,           -- version 7 uuid
    at          BIGINT NOT NULL,
    request_id  TEXT NOT NULL,
    user_id     TEXT NOT NULL,
    project_id  TEXT NOT NULL,
    action      TEXT NOT NULL,              -- such as server.create
    target      TEXT NOT NULL,
    detail      TEXT NOT NULL DEFAULT '{}'
);
CREATE INDEX audit_target ON audit (target, at);
CREATE INDEX audit_project ON audit (project_id, at);

-- One row per project and resource; `used` moves only by a conditional update, so it cannot be
-- taken twice. A null `max` means the default limit of that resource.
CREATE TABLE quota (
    project_id  TEXT NOT NULL,
    resource    TEXT NOT NULL,              -- instances, cores, ram, key_pairs, network, port, …
    used        BIGINT NOT NULL DEFAULT 0 CHECK (used >= 0),
    max         BIGINT,                     -- -1: unlimited
    PRIMARY KEY (project_id, resource)
);

-- Small facts about the installation (region name, prefix, first-start marks, sealed keys).
CREATE TABLE setting (
    name        TEXT PRIMARY KEY,
    value       TEXT NOT NULL
);

CREATE TABLE host (
    id              TEXT PRIMARY KEY,
    name            TEXT NOT NULL UNIQUE,
    token_hash      TEXT NOT NULL UNIQUE,       -- hex SHA-256 of the host's token
    availability_zone TEXT NOT NULL DEFAULT 'nova',
    enabled         BIGINT NOT NULL DEFAULT 1,
    disabled_reason TEXT NOT NULL DEFAULT '',
    generation      BIGINT NOT NULL DEFAULT 1,  -- of the desired document
    applied         BIGINT NOT NULL DEFAULT 0,  -- newest generation that the agent reported
    seen_at         BIGINT NOT NULL DEFAULT 0,
    facts           TEXT NOT NULL DEFAULT '{}', -- JSON of base::doc::HostFacts
    vcpus           BIGINT NOT NULL DEFAULT 0,
    memory_mib      BIGINT NOT NULL DEFAULT 0,
    disk_gib        BIGINT NOT NULL DEFAULT 0,
    vcpus_used      BIGINT NOT NULL DEFAULT 0 CHECK (vcpus_used >= 0),
    memory_mib_used BIGINT NOT NULL DEFAULT 0 CHECK (memory_mib_used >= 0),
    disk_gib_used   BIGINT NOT NULL DEFAULT 0 CHECK (disk_gib_used >= 0),
    guests          BIGINT NOT NULL DEFAULT 0 CHECK (guests >= 0),
    created_at      BIGINT NOT NULL
);
