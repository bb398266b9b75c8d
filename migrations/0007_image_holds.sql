-- Who besides images still needs a content: servers whose hosts may have to fetch it again.
CREATE TABLE image_hold (
    holder      TEXT NOT NULL,                  -- server id
    sha512      TEXT NOT NULL REFERENCES image_blob (sha512),
    PRIMARY KEY (holder, sha512)
);
CREATE INDEX image_hold_use ON image_hold (sha512);

-- Servers that are there already. Their image column is JSON that names the content.
INSERT INTO image_hold (holder, sha512)
    SELECT s.id, b.sha512 FROM server s JOIN image_blob b ON s.image LIKE '%' || b.sha512 || '%'
    WHERE s.deleted_at IS NULL;

-- The server that an image is made from; its content comes from that server's host only.
ALTER TABLE image ADD COLUMN server_id TEXT;
