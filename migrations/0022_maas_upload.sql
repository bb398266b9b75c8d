-- Images that arrive in pieces through the MAAS API.
CREATE TABLE maas_upload (
    number      BIGINT PRIMARY KEY,
    name        TEXT NOT NULL,
    title       TEXT NOT NULL,
    architecture TEXT NOT NULL,
    filetype    TEXT NOT NULL,
    sha256      TEXT NOT NULL,           -- of the whole, lower-case hexadecimal
    size        BIGINT NOT NULL,         -- bytes
    received    BIGINT NOT NULL DEFAULT 0,
    image_id    TEXT,                    -- once it is whole
    created_at  BIGINT NOT NULL
);
