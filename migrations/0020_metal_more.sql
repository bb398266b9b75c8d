-- What a person, or the machine's own system as it went down, said of its power last.
ALTER TABLE machine ADD COLUMN said_on BIGINT;
ALTER TABLE machine ADD COLUMN said_at BIGINT NOT NULL DEFAULT 0;

-- Image content that machines are written with, as racks are told of it.
CREATE TABLE metal_content (
    sha512      TEXT PRIMARY KEY,
    format      TEXT NOT NULL,
    size        BIGINT NOT NULL
);
CREATE INDEX machine_image ON machine (image_sha512) WHERE image_sha512 <> '';
