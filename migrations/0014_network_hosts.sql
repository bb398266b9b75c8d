-- What hosts say of their place in the network, kept apart from the rest of their facts because every
-- document that is made asks for it.
CREATE TABLE host_link (
    host_id     TEXT PRIMARY KEY REFERENCES host (id) ON DELETE CASCADE,
    tunnel      TEXT NOT NULL DEFAULT '',       -- underlay address; empty: none
    mtu         BIGINT NOT NULL DEFAULT 0       -- of the device that has it; 0: not known
);
-- Physical networks that a host reaches by a NIC of its own.
CREATE TABLE host_physical (
    host_id     TEXT NOT NULL REFERENCES host (id) ON DELETE CASCADE,
    name        TEXT NOT NULL,
    device      TEXT NOT NULL,
    PRIMARY KEY (host_id, name)
);
CREATE INDEX host_physical_name ON host_physical (name);
-- The hidden network that leads from a router's other hosts to its home.
ALTER TABLE router ADD COLUMN transit_vni BIGINT;
CREATE UNIQUE INDEX router_transit ON router (transit_vni) WHERE transit_vni IS NOT NULL;
