-- What one user may use of what his project may use.
CREATE TABLE user_quota (
    project_id  TEXT NOT NULL,
    user_id     TEXT NOT NULL,
    resource    TEXT NOT NULL,
    max         BIGINT NOT NULL,                -- -1: as much as the project
    PRIMARY KEY (project_id, user_id, resource)
);
