-- Sessions of browsers. A browser holds a secret in a cookie, of which only the hash is kept; the token that it
-- stands for is sealed by the master key and never leaves the region.
CREATE TABLE portal_session (
    id          TEXT PRIMARY KEY,           -- hex SHA-256 of the secret
    user_id     TEXT NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    token       TEXT NOT NULL,              -- sealed; who it is for and with which roles is looked up at each use
    created_at  BIGINT NOT NULL,
    seen_at     BIGINT NOT NULL,            -- when somebody last did something with it, to the minute
    expires_at  BIGINT NOT NULL             -- however busy it is
);
CREATE INDEX portal_session_user ON portal_session (user_id, created_at);
CREATE INDEX portal_session_end ON portal_session (expires_at);
