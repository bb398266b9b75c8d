-- Wrong one-time codes in a row, which are counted whatever the rules for passwords are, and when the last came.
ALTER TABLE account ADD COLUMN failed_codes BIGINT NOT NULL DEFAULT 0;
ALTER TABLE account ADD COLUMN failed_code_at BIGINT;
