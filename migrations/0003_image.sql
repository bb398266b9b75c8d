-- Image content, stored once however many images show it.
CREATE TABLE image_blob (
    sha512      TEXT PRIMARY KEY,
    md5         TEXT NOT NULL,
    bytes       BIGINT NOT NULL,
    created_at  BIGINT NOT NULL
);

CREATE TABLE image (
    id          TEXT PRIMARY KEY,
    owner       TEXT NOT NULL,                  -- project id
    name        TEXT,
    status      TEXT NOT NULL,                  -- queued, saving, active, deactivated, killed
    visibility  TEXT NOT NULL,                  -- public, private, shared, community
    disk_format TEXT,
    container_format TEXT,
    min_disk    BIGINT NOT NULL DEFAULT 0,      -- GiB
    min_ram     BIGINT NOT NULL DEFAULT 0,      -- MiB
    protected   BIGINT NOT NULL DEFAULT 0,
    os_hidden   BIGINT NOT NULL DEFAULT 0,
    sha512      TEXT REFERENCES image_blob (sha512),
    virtual_size BIGINT,                        -- bytes
    created_at  BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL
);
CREATE INDEX image_owner ON image (owner, created_at);
CREATE INDEX image_page ON image (created_at, id);
CREATE INDEX image_name ON image (name);
CREATE INDEX image_blob_use ON image (sha512);

CREATE TABLE image_property (
    image_id    TEXT NOT NULL REFERENCES image (id) ON DELETE CASCADE,
    name        TEXT NOT NULL,
    value       TEXT NOT NULL,
    PRIMARY KEY (image_id, name)
);

CREATE TABLE image_tag (
    image_id    TEXT NOT NULL REFERENCES image (id) ON DELETE CASCADE,
    tag         TEXT NOT NULL,
    PRIMARY KEY (image_id, tag)
);

CREATE TABLE image_member (
    image_id    TEXT NOT NULL REFERENCES image (id) ON DELETE CASCADE,
    member_id   TEXT NOT NULL,                  -- project id
    status      TEXT NOT NULL DEFAULT 'pending',
    created_at  BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL,
    PRIMARY KEY (image_id, member_id)
);
