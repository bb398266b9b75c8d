-- The region's certificate authority: all its processes sign with the same one.
CREATE TABLE authority (
    id          BIGINT PRIMARY KEY CHECK (id = 1),
    certificate TEXT NOT NULL,                  -- PEM
    sealed_key  TEXT NOT NULL,                  -- PEM, sealed by the master key
    created_at  BIGINT NOT NULL
);
