-- What the MAAS 2.0 door keeps beside machines.

-- An API key (consumer:token:secret) stands for a user in a project.
CREATE TABLE maas_key (
    token_key    TEXT PRIMARY KEY,
    consumer_key TEXT NOT NULL,
    secret_hash  TEXT NOT NULL,          -- hex SHA-256; the secret has 190 random bits
    user_id      TEXT NOT NULL,
    project_id   TEXT NOT NULL,
    name         TEXT NOT NULL,
    created_at   BIGINT NOT NULL
);
CREATE INDEX maas_key_user ON maas_key (user_id);

-- What a deployed machine asks the metadata tree with; one for each deployment, gone with it.
CREATE TABLE maas_node_key (
    machine_id   TEXT PRIMARY KEY,
    token_key    TEXT NOT NULL UNIQUE,
    consumer_key TEXT NOT NULL,
    secret_hash  TEXT NOT NULL,
    created_at   BIGINT NOT NULL
);

-- Settings that clients may read and write.
CREATE TABLE maas_config (
    name         TEXT PRIMARY KEY,
    value        TEXT NOT NULL           -- JSON
);

-- Files that a client keeps here (Juju its state).
CREATE TABLE maas_file (
    user_id      TEXT NOT NULL,
    name         TEXT NOT NULL,
    anon_key     TEXT NOT NULL UNIQUE,   -- good for reading it without an API key
    content      TEXT NOT NULL,          -- base64
    created_at   BIGINT NOT NULL,
    PRIMARY KEY (user_id, name)
);
