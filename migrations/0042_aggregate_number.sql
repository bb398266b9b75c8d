-- Counts aggregates, so that two requests cannot get the same number and none comes back after a deletion.
CREATE TABLE aggregate_number (
    one         BIGINT PRIMARY KEY,
    last        BIGINT NOT NULL
);
INSERT INTO aggregate_number (one, last) SELECT 1, COALESCE(MAX(id), 0) FROM aggregate;
