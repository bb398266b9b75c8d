-- Imports, as the API shows them. They are kept for a while after they ended.
CREATE TABLE image_task (
    id          TEXT PRIMARY KEY,
    type        TEXT NOT NULL,                  -- import (an admin's), api_image_import
    status      TEXT NOT NULL,                  -- pending, processing, success, failure
    image_id    TEXT NOT NULL,                  -- may be one that is deleted
    image_made  BIGINT NOT NULL,                -- its created_at: tells it from a later one of the same id
    owner       TEXT NOT NULL,                  -- project id
    user_id     TEXT NOT NULL,
    request_id  TEXT NOT NULL,
    input       TEXT NOT NULL,                  -- JSON, as it was asked for
    message     TEXT NOT NULL DEFAULT '',
    created_at  BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL,
    expires_at  BIGINT
);
CREATE INDEX image_task_image ON image_task (image_id);
CREATE INDEX image_task_page ON image_task (created_at, id);

-- Content that was brought for an image and is not imported yet: a file in staged/.
CREATE TABLE image_stage (
    image_id    TEXT PRIMARY KEY REFERENCES image (id) ON DELETE CASCADE,
    file        TEXT NOT NULL,
    sha512      TEXT NOT NULL,
    md5         TEXT NOT NULL,
    bytes       BIGINT NOT NULL
);
