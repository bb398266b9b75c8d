-- Servers that were rebuilt, or are being rescued, before that held the content of the image.
INSERT INTO image_hold (holder, sha512)
    SELECT s.id, b.sha512 FROM server s JOIN image_blob b
        ON s.image LIKE '%' || b.sha512 || '%' OR s.rescue LIKE '%' || b.sha512 || '%'
    WHERE s.deleted_at IS NULL AND s.host_id IS NOT NULL
    ON CONFLICT (holder, sha512) DO NOTHING;
