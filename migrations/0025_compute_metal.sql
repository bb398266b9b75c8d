-- Machines that Compute hands out: each is a host that takes one server and is all its own.
ALTER TABLE host ADD COLUMN resource_class TEXT NOT NULL DEFAULT '';   -- empty: an ordinary host
CREATE INDEX host_class ON host (resource_class, generation, applied) WHERE resource_class <> '';
CREATE TABLE metal_host (
    host_id     TEXT PRIMARY KEY REFERENCES host (id) ON DELETE CASCADE,
    machine_id  TEXT NOT NULL UNIQUE,
    server_id   TEXT,                           -- whom the machine was given to
    epoch       BIGINT NOT NULL DEFAULT 0,      -- of the disk that was asked for last
    boots       BIGINT NOT NULL DEFAULT 0,      -- restarts asked for
    booted      BIGINT NOT NULL DEFAULT 0,      -- of them, those after which the machine was seen on
    seen        TEXT NOT NULL DEFAULT ''        -- what was known of the machine when it was looked at last
);
-- Flavors are made once of each class of machines, also where people have deleted them.
CREATE TABLE metal_class (
    name        TEXT PRIMARY KEY,
    created_at  BIGINT NOT NULL
);
-- A port that wears the MAC of a machine's NIC gets its own back when it is let go.
ALTER TABLE port ADD COLUMN own_mac TEXT NOT NULL DEFAULT '';
