-- Images whose content arrives in pieces. The bytes are in a file of the image's id beside the contents.
CREATE TABLE image_upload (
    image_id    TEXT PRIMARY KEY REFERENCES image (id) ON DELETE CASCADE,
    project_id  TEXT NOT NULL,
    file_name   TEXT NOT NULL,                  -- as the client calls it
    mark        TEXT NOT NULL,                  -- by which the client knows the same file again
    size        BIGINT NOT NULL,                -- bytes, of the whole
    received    BIGINT NOT NULL DEFAULT 0,      -- bytes from the beginning that are on the disk
    created_at  BIGINT NOT NULL,
    touched_at  BIGINT NOT NULL
);
CREATE INDEX image_upload_project ON image_upload (project_id);
CREATE INDEX image_upload_touched ON image_upload (touched_at);
