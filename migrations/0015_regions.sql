-- Several region processes on one database: who they are, and what each has under way.

-- One row per process; a row whose `seen_at` stands still is of one that died.
CREATE TABLE process (
    id          TEXT PRIMARY KEY,               -- the name of its data directory, '/', and a uuid of this run
    version     TEXT NOT NULL,
    started_at  BIGINT NOT NULL,
    seen_at     BIGINT NOT NULL                 -- by the clock of the database
);

-- The process that takes the content of an image which is saving or uploading.
ALTER TABLE image ADD COLUMN upload_by TEXT NOT NULL DEFAULT '';

-- The process whose job (a download, a conversion) an import waits for.
ALTER TABLE image_task ADD COLUMN job_by TEXT NOT NULL DEFAULT '';

-- Who puts or removes the file of a content: a lock that ends by itself.
CREATE TABLE image_lock (
    sha512      TEXT PRIMARY KEY,
    held_by     TEXT NOT NULL,                  -- a uuid of the holder's, '' when nobody holds it
    until       BIGINT NOT NULL                 -- by the clock of the database
);
