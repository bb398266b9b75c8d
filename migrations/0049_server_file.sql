-- Files that a server was made or rebuilt with (`personality`, up to 2.56): its configuration drive and its metadata have them.
CREATE TABLE server_file (
    server_id   TEXT NOT NULL REFERENCES server (id) ON DELETE CASCADE,
    n           BIGINT NOT NULL,                -- their order, from 0
    path        TEXT NOT NULL,
    content     TEXT NOT NULL,                  -- base64
    PRIMARY KEY (server_id, n)
);
