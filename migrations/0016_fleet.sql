-- Since when a host is taken as down; 0: it is not.
ALTER TABLE host ADD COLUMN down_since BIGINT NOT NULL DEFAULT 0;
-- Since when its servers are sent elsewhere; 0: they are not.
ALTER TABLE host ADD COLUMN draining BIGINT NOT NULL DEFAULT 0;
-- QEMU's name of the processor that a server has since it was started last; empty: the best of its host.
ALTER TABLE server ADD COLUMN cpu TEXT NOT NULL DEFAULT '';
-- QEMU's names of the processors that guests can have there, best first, with commas.
ALTER TABLE host ADD COLUMN cpu_models TEXT NOT NULL DEFAULT '';
CREATE INDEX host_cpu_models ON host (id) WHERE cpu_models <> '';
