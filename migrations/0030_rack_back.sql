-- When a rack was heard again after it had been silent: whatever it passes on was silent too until then.
ALTER TABLE rack ADD COLUMN back_at BIGINT NOT NULL DEFAULT 0;
