-- Whether a live system's task failed for good: image and machine are as they are, and a second try would end the same.
ALTER TABLE machine_task ADD COLUMN lasting BIGINT NOT NULL DEFAULT 0;
