-- What is wanted of a server beside its power, written by the API.
ALTER TABLE server ADD COLUMN want_paused BIGINT NOT NULL DEFAULT 0;
ALTER TABLE server ADD COLUMN want_suspended BIGINT NOT NULL DEFAULT 0;
ALTER TABLE server ADD COLUMN rescue TEXT;                          -- JSON {image, bytes}: rescue is wanted
ALTER TABLE server ADD COLUMN disk_epoch BIGINT NOT NULL DEFAULT 0; -- counts rebuilds
ALTER TABLE server ADD COLUMN resize TEXT;                          -- JSON: a resize until it is confirmed
ALTER TABLE server ADD COLUMN password TEXT;                        -- JSON {epoch, value}; the value goes when set
ALTER TABLE server ADD COLUMN nmi BIGINT NOT NULL DEFAULT 0;        -- counts crash dumps asked for
ALTER TABLE server ADD COLUMN soft_deleted_at BIGINT;               -- deletion was asked and can be taken back

-- The whole report of a guest (JSON of base::doc::GuestStatus), for what has no column of its own.
ALTER TABLE host_guest ADD COLUMN status TEXT NOT NULL DEFAULT '';

-- Resizes and migrations, kept with their server. Their numbers are what the API calls ids.
CREATE TABLE server_migration (
    id          BIGINT PRIMARY KEY,
    uuid        TEXT NOT NULL,
    server_id   TEXT NOT NULL REFERENCES server (id) ON DELETE CASCADE,
    kind        TEXT NOT NULL,                  -- resize, migration
    status      TEXT NOT NULL,                  -- pre-migrating, migrating, finished, confirming, confirmed, …
    user_id     TEXT NOT NULL,
    project_id  TEXT NOT NULL,
    from_host   TEXT NOT NULL,
    to_host     TEXT,
    from_flavor TEXT NOT NULL,
    to_flavor   TEXT NOT NULL,
    created_at  BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL
);
CREATE INDEX server_migration_server ON server_migration (server_id, created_at);
CREATE INDEX server_migration_time ON server_migration (created_at, id);
CREATE TABLE server_migration_number (
    one         BIGINT PRIMARY KEY,
    last        BIGINT NOT NULL
);
