-- Live systems that a machine's owner was let into: what runs there may be the owner's, so nobody else relies on it. Of
-- those that are up, these are the ones in rescue mode, or on the way there.
ALTER TABLE live_session ADD COLUMN lent BIGINT NOT NULL DEFAULT 0;
UPDATE live_session SET lent = 1 WHERE machine_id IN (SELECT id FROM machine WHERE status IN (16, 17, 18));
