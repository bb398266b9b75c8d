-- Where servers go: server groups, host aggregates, traits, reservations; and defaults of quotas.

-- The zone that a host has by itself; `availability_zone` is the one that counts, an aggregate's if one names it.
ALTER TABLE host ADD COLUMN home_zone TEXT NOT NULL DEFAULT 'nova';
UPDATE host SET home_zone = availability_zone;
-- An administrator says that the host is down, whatever it reports.
ALTER TABLE host ADD COLUMN forced_down BIGINT NOT NULL DEFAULT 0;

CREATE TABLE aggregate (
    id          BIGINT PRIMARY KEY,
    uuid        TEXT NOT NULL UNIQUE,
    name        TEXT NOT NULL UNIQUE,
    created_at  BIGINT NOT NULL,
    updated_at  BIGINT
);

CREATE TABLE aggregate_host (
    aggregate_id BIGINT NOT NULL REFERENCES aggregate (id) ON DELETE CASCADE,
    host_id     TEXT NOT NULL REFERENCES host (id) ON DELETE CASCADE,
    PRIMARY KEY (aggregate_id, host_id)
);
CREATE INDEX aggregate_host_host ON aggregate_host (host_id);

CREATE TABLE aggregate_metadata (
    aggregate_id BIGINT NOT NULL REFERENCES aggregate (id) ON DELETE CASCADE,
    name        TEXT NOT NULL,                  -- availability_zone makes it a zone
    value       TEXT NOT NULL,
    PRIMARY KEY (aggregate_id, name)
);

CREATE TABLE server_group (
    id          TEXT PRIMARY KEY,
    project_id  TEXT NOT NULL,
    user_id     TEXT NOT NULL,
    name        TEXT NOT NULL,
    policy      TEXT NOT NULL,                  -- affinity, anti-affinity, soft-affinity, soft-anti-affinity
    max_per_host BIGINT,                        -- of anti-affinity; null: 1
    claims      BIGINT NOT NULL DEFAULT 0,      -- counts placements, so that they wait for each other
    created_at  BIGINT NOT NULL
);
CREATE INDEX server_group_project ON server_group (project_id, created_at, id);

CREATE TABLE server_group_member (
    server_id   TEXT PRIMARY KEY REFERENCES server (id) ON DELETE CASCADE,
    group_id    TEXT NOT NULL REFERENCES server_group (id) ON DELETE CASCADE
);
CREATE INDEX server_group_member_group ON server_group_member (group_id);

-- Traits that an administrator gave to a host, and those that he made up.
CREATE TABLE trait (
    name        TEXT PRIMARY KEY                -- CUSTOM_…
);
CREATE TABLE host_trait (
    host_id     TEXT NOT NULL REFERENCES host (id) ON DELETE CASCADE,
    name        TEXT NOT NULL REFERENCES trait (name),
    PRIMARY KEY (host_id, name)
);

-- Room on hosts that is set aside for something other than a server; it is counted in `host` too.
CREATE TABLE reservation (
    consumer    TEXT NOT NULL,
    host_id     TEXT NOT NULL REFERENCES host (id),
    vcpus       BIGINT NOT NULL DEFAULT 0,
    memory_mib  BIGINT NOT NULL DEFAULT 0,
    disk_gib    BIGINT NOT NULL DEFAULT 0,
    project_id  TEXT NOT NULL,
    user_id     TEXT NOT NULL,
    kind        TEXT NOT NULL DEFAULT '',       -- the consumer type, as who reserves says
    revision    BIGINT NOT NULL,
    created_at  BIGINT NOT NULL,
    PRIMARY KEY (consumer, host_id)
);

-- What a project may use when nobody said otherwise, where an administrator changed it.
CREATE TABLE quota_default (
    resource    TEXT PRIMARY KEY,
    max         BIGINT NOT NULL
);

-- On which host an action ended.
ALTER TABLE server_action ADD COLUMN host TEXT;
