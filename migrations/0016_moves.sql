-- A server's way from one host to another, until it has arrived or turned back. One at a time.
CREATE TABLE server_move (
    server_id  TEXT PRIMARY KEY REFERENCES server (id) ON DELETE CASCADE,
    number     BIGINT NOT NULL,             -- of this try; no two are the same
    migration  BIGINT NOT NULL,             -- its row in server_migration
    kind       TEXT NOT NULL,               -- resize, plain, live, back, evacuate
    from_host  TEXT NOT NULL,
    to_host    TEXT,                        -- NULL: not chosen
    wish       TEXT,                        -- name of the host that was asked for
    token      TEXT NOT NULL DEFAULT '',    -- what the source shows the destination
    departs    BIGINT NOT NULL DEFAULT 0,   -- the source has been told
    forced     BIGINT NOT NULL DEFAULT 0,   -- a live one stands still until its memory is over
    cancelled  BIGINT NOT NULL DEFAULT 0,   -- the user asked to give it up
    vcpus      BIGINT NOT NULL DEFAULT 0,   -- claimed at the destination for this move
    memory_mib BIGINT NOT NULL DEFAULT 0,
    disk_gib   BIGINT NOT NULL DEFAULT 0,
    withdrawn  BIGINT NOT NULL DEFAULT 0,   -- the destination's generation since which it is not told; 0: it is
    why        TEXT NOT NULL DEFAULT '',    -- it was given up
    begun_at   BIGINT NOT NULL,
    since      BIGINT NOT NULL              -- what it waits for now
);
CREATE INDEX server_move_to ON server_move (to_host);
CREATE INDEX server_move_from ON server_move (from_host);

-- The host that a port is on its way to; it is plugged there as well.
ALTER TABLE port ADD COLUMN next_host_id TEXT;
CREATE INDEX port_next_host ON port (next_host_id) WHERE next_host_id IS NOT NULL;
