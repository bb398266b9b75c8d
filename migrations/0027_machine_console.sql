-- Serial consoles of machines that somebody has a ticket for, and until the rack has brought them.
CREATE TABLE machine_console (
    token_hash  TEXT PRIMARY KEY,               -- hex SHA-256
    machine_id  TEXT NOT NULL REFERENCES machine (id) ON DELETE CASCADE,
    key         TEXT NOT NULL UNIQUE,           -- names it between region and rack
    project_id  TEXT NOT NULL,                  -- whose the machine was
    operator    BIGINT NOT NULL,
    asked       BIGINT NOT NULL,                -- 1: the ticket was used, the rack is asked
    expires_at  BIGINT NOT NULL
);
CREATE INDEX machine_console_machine ON machine_console (machine_id);
