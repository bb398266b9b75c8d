-- Properties of the image that a server was made from, as they were then: what is made of the server has them too,
-- whatever becomes of that image. No row, or one of another image: the server was made by an older release.
CREATE TABLE server_image (
    server_id   TEXT PRIMARY KEY REFERENCES server (id) ON DELETE CASCADE,
    image_id    TEXT NOT NULL,
    properties  TEXT NOT NULL                   -- JSON: names and values
);
