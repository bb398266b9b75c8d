CREATE TABLE flavor (
    id          TEXT PRIMARY KEY,
    name        TEXT NOT NULL UNIQUE,
    vcpus       BIGINT NOT NULL,
    ram         BIGINT NOT NULL,                -- MiB
    disk        BIGINT NOT NULL,                -- GiB; 0: as large as the image
    ephemeral   BIGINT NOT NULL DEFAULT 0,
    swap        BIGINT NOT NULL DEFAULT 0,
    rxtx_factor TEXT NOT NULL DEFAULT '1.0',
    is_public   BIGINT NOT NULL DEFAULT 1,
    disabled    BIGINT NOT NULL DEFAULT 0,
    description TEXT,
    created_at  BIGINT NOT NULL
);

CREATE TABLE flavor_extra_spec (
    flavor_id   TEXT NOT NULL REFERENCES flavor (id) ON DELETE CASCADE,
    name        TEXT NOT NULL,
    value       TEXT NOT NULL,
    PRIMARY KEY (flavor_id, name)
);

CREATE TABLE flavor_access (
    flavor_id   TEXT NOT NULL REFERENCES flavor (id) ON DELETE CASCADE,
    project_id  TEXT NOT NULL,
    PRIMARY KEY (flavor_id, project_id)
);

CREATE TABLE keypair (
    user_id     TEXT NOT NULL,
    name        TEXT NOT NULL,
    type        TEXT NOT NULL DEFAULT 'ssh',
    public_key  TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    created_at  BIGINT NOT NULL,
    PRIMARY KEY (user_id, name)
);

CREATE TABLE server (
    id          TEXT PRIMARY KEY,
    project_id  TEXT NOT NULL,
    user_id     TEXT NOT NULL,
    name        TEXT NOT NULL,
    hostname    TEXT NOT NULL,
    description TEXT,
    flavor      TEXT NOT NULL,                  -- JSON: the flavor as it was when asked for, with extra specs
    flavor_id   TEXT NOT NULL,
    vcpus       BIGINT NOT NULL,
    ram         BIGINT NOT NULL,                -- MiB
    disk        BIGINT NOT NULL,                -- GiB that the host sets aside
    disk_bytes  BIGINT NOT NULL,                -- what the guest sees
    image_id    TEXT,                           -- may outlive the image
    image       TEXT,                           -- JSON of base::doc::ImageSource
    key_name    TEXT,
    key         TEXT,                           -- JSON of base::doc::SshKey: the key at creation
    user_data   TEXT,                           -- base64
    admin_pass  TEXT,
    config_drive BIGINT NOT NULL DEFAULT 0,
    disk_config TEXT NOT NULL DEFAULT 'MANUAL',
    access_ipv4 TEXT NOT NULL DEFAULT '',
    access_ipv6 TEXT NOT NULL DEFAULT '',
    availability_zone TEXT NOT NULL DEFAULT '', -- asked for
    reservation_id TEXT NOT NULL,
    launch_index BIGINT NOT NULL DEFAULT 0,
    locked      BIGINT NOT NULL DEFAULT 0,
    locked_reason TEXT,
    hints       TEXT NOT NULL DEFAULT '{}',     -- scheduler hints, JSON
    security_groups TEXT NOT NULL DEFAULT '[]', -- names as asked, JSON
    -- intent, written by the API
    want_power  TEXT NOT NULL DEFAULT 'on',     -- on, off
    boots       BIGINT NOT NULL DEFAULT 0,
    boot_kind   TEXT NOT NULL DEFAULT 'soft',
    delete_at   BIGINT,                         -- set: delete was asked
    -- facts, moved only by the life-cycle's step
    host_id     TEXT REFERENCES host (id),
    ownership   BIGINT NOT NULL DEFAULT 0,
    vm_state    TEXT NOT NULL DEFAULT 'building', -- building, active, stopped, error, deleted, …
    task_state  TEXT,
    power_state BIGINT NOT NULL DEFAULT 0,      -- 0 none, 1 running, 3 paused, 4 shut down, 7 suspended
    progress    BIGINT NOT NULL DEFAULT 0,
    fault       TEXT,                           -- JSON {code, message, created, details}
    launched_at BIGINT,
    terminated_at BIGINT,
    created_at  BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL,
    deleted_at  BIGINT                          -- set: gone, kept for admins until purged
);
CREATE INDEX server_project ON server (project_id, created_at, id) WHERE deleted_at IS NULL;
CREATE INDEX server_page ON server (created_at, id) WHERE deleted_at IS NULL;
CREATE INDEX server_deleted ON server (deleted_at) WHERE deleted_at IS NOT NULL;
CREATE INDEX server_host ON server (host_id) WHERE deleted_at IS NULL;
CREATE INDEX server_reservation ON server (reservation_id);

-- What each host last reported of each guest. A guest that a host no longer reports has no row.
CREATE TABLE host_guest (
    host_id     TEXT NOT NULL REFERENCES host (id) ON DELETE CASCADE,
    server_id   TEXT NOT NULL,                  -- may be one that we do not know (any more)
    ownership   BIGINT NOT NULL,
    state       TEXT NOT NULL,                  -- preparing, running, stopped, paused, failed
    boots       BIGINT NOT NULL,                -- carried out
    reason      TEXT NOT NULL DEFAULT '',
    started_at  BIGINT,
    since       BIGINT NOT NULL,                -- when it was first reported in this state
    PRIMARY KEY (host_id, server_id)
);
CREATE INDEX host_guest_server ON host_guest (server_id);

-- The last report of each host: a digest, to tell a repetition from news, and what it could not apply.
CREATE TABLE host_report (
    host_id     TEXT PRIMARY KEY REFERENCES host (id) ON DELETE CASCADE,
    digest      TEXT NOT NULL,
    problems    TEXT NOT NULL DEFAULT '[]'      -- JSON of base::doc::Problem
);

CREATE TABLE server_metadata (
    server_id   TEXT NOT NULL REFERENCES server (id) ON DELETE CASCADE,
    name        TEXT NOT NULL,
    value       TEXT NOT NULL,
    PRIMARY KEY (server_id, name)
);

CREATE TABLE server_tag (
    server_id   TEXT NOT NULL REFERENCES server (id) ON DELETE CASCADE,
    tag         TEXT NOT NULL,
    PRIMARY KEY (server_id, tag)
);

CREATE TABLE server_action (
    server_id   TEXT NOT NULL REFERENCES server (id) ON DELETE CASCADE,
    request_id  TEXT NOT NULL,
    action      TEXT NOT NULL,
    user_id     TEXT NOT NULL,
    project_id  TEXT NOT NULL,
    message     TEXT,
    started_at  BIGINT NOT NULL,
    finished_at BIGINT,
    result      TEXT,                           -- Success, Error
    PRIMARY KEY (server_id, request_id, action)
);
CREATE INDEX server_action_time ON server_action (server_id, started_at);

-- One-time tickets for consoles.
CREATE TABLE console_ticket (
    token_hash  TEXT PRIMARY KEY,
    server_id   TEXT NOT NULL REFERENCES server (id) ON DELETE CASCADE,
    kind        TEXT NOT NULL,                  -- serial, vnc
    expires_at  BIGINT NOT NULL
);
