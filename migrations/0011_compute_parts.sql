-- What belongs to a server beside its row.

-- The user's names for devices.
CREATE TABLE server_nic_tag (
    server_id   TEXT NOT NULL REFERENCES server (id) ON DELETE CASCADE,
    port_id     TEXT NOT NULL,
    tag         TEXT NOT NULL,
    PRIMARY KEY (server_id, port_id)
);

-- The password that a guest made for itself, encrypted with its user's key.
CREATE TABLE server_password (
    server_id   TEXT PRIMARY KEY REFERENCES server (id) ON DELETE CASCADE,
    password    TEXT NOT NULL
);

-- Images being made of servers' disks. A row goes when its image is there, or will not be.
CREATE TABLE server_capture (
    image_id    TEXT PRIMARY KEY,
    server_id   TEXT NOT NULL REFERENCES server (id) ON DELETE CASCADE,
    kind        TEXT NOT NULL,                  -- snapshot, backup, shelve
    backup_type TEXT NOT NULL DEFAULT '',       -- of a backup: which of them are counted together
    rotation    BIGINT NOT NULL DEFAULT 0,      -- of a backup: how many are kept
    created_at  BIGINT NOT NULL
);
CREATE INDEX server_capture_server ON server_capture (server_id);

-- How far a host says that they are: JSON of base::doc::CaptureStatus.
ALTER TABLE host_guest ADD COLUMN captures TEXT NOT NULL DEFAULT '[]';

-- Servers that are put aside, or on their way there or back.
CREATE TABLE server_shelf (
    server_id   TEXT PRIMARY KEY REFERENCES server (id) ON DELETE CASCADE,
    image_id    TEXT,                           -- its disk, once asked for
    want        TEXT NOT NULL,                  -- shelved, offloaded, back
    shelved_at  BIGINT
);

-- What a server's machine is made of beyond size: JSON of base::doc's Hardware, Limits and LocalDisk.
CREATE TABLE server_hardware (
    server_id   TEXT PRIMARY KEY REFERENCES server (id) ON DELETE CASCADE,
    hardware    TEXT NOT NULL,
    limits      TEXT NOT NULL,
    local_disks TEXT NOT NULL
);
