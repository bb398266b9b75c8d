-- Invitations of hosts. Only the secret's hash is kept; each is good once and until it expires.
CREATE TABLE join_token (
    id          TEXT PRIMARY KEY,
    secret_hash TEXT NOT NULL UNIQUE,           -- hex SHA-256
    host_name   TEXT NOT NULL DEFAULT '',       -- whom it is for; empty: any new host, by the name that it says
    zone        TEXT NOT NULL DEFAULT '',       -- empty: as the host has it, or nova
    created_at  BIGINT NOT NULL,
    expires_at  BIGINT NOT NULL,
    used_at     BIGINT,
    host_id     TEXT REFERENCES host (id) ON DELETE SET NULL,   -- who used it
    proof       TEXT NOT NULL DEFAULT ''        -- what that host proves itself with: host.token_hash at the time
);
