-- What the MAAS API says of networks beside segments and their subnets.
CREATE TABLE maas_space (
    number      BIGINT PRIMARY KEY,
    name        TEXT NOT NULL UNIQUE,
    description TEXT NOT NULL DEFAULT ''
);

-- A segment is a VLAN; one without a row here is the untagged one of a fabric of its own name.
CREATE TABLE maas_vlan (
    segment_id  TEXT PRIMARY KEY REFERENCES segment (id) ON DELETE CASCADE,
    fabric_id   TEXT REFERENCES segment (id) ON DELETE CASCADE,  -- its untagged VLAN; null: it is that itself
    vid         BIGINT NOT NULL DEFAULT 0,
    label       TEXT NOT NULL DEFAULT '',
    mtu         BIGINT NOT NULL DEFAULT 0,      -- of subnets that are added; 0 is 1500
    space       BIGINT REFERENCES maas_space (number) ON DELETE SET NULL
);
CREATE INDEX maas_vlan_fabric ON maas_vlan (fabric_id);

CREATE TABLE maas_subnet (
    subnet_id   TEXT PRIMARY KEY REFERENCES metal_subnet (id) ON DELETE CASCADE,
    description TEXT NOT NULL DEFAULT '',
    managed     BIGINT NOT NULL DEFAULT 1       -- 0: machines get addresses of its reserved ranges only
);

CREATE TABLE maas_static_route (
    number      BIGINT PRIMARY KEY,
    source      TEXT NOT NULL REFERENCES metal_subnet (id) ON DELETE CASCADE,
    destination TEXT NOT NULL REFERENCES metal_subnet (id) ON DELETE CASCADE,
    gateway     TEXT NOT NULL,
    metric      BIGINT NOT NULL DEFAULT 0
);

-- Further kinds: user (somebody keeps it, for nobody), reserved (for the NIC of that MAC, now or later).
ALTER TABLE metal_address ADD COLUMN number BIGINT NOT NULL DEFAULT 0;
ALTER TABLE metal_address ADD COLUMN mac TEXT NOT NULL DEFAULT '';
ALTER TABLE metal_address ADD COLUMN comment TEXT NOT NULL DEFAULT '';
CREATE INDEX metal_address_mac ON metal_address (mac) WHERE mac <> '';

-- Domains beside the one of machines, which is number 0 and has no row.
CREATE TABLE maas_domain (
    number      BIGINT PRIMARY KEY,
    name        TEXT NOT NULL UNIQUE,
    authoritative BIGINT NOT NULL DEFAULT 1,    -- racks answer for it
    ttl         BIGINT                          -- seconds; null: the rack's
);
CREATE TABLE maas_dns_name (
    number      BIGINT PRIMARY KEY,
    domain      BIGINT NOT NULL,
    name        TEXT NOT NULL,                  -- @: the domain itself
    address_ttl BIGINT
);
CREATE UNIQUE INDEX maas_dns_name_once ON maas_dns_name (domain, name);
CREATE TABLE maas_dns_record (
    number      BIGINT PRIMARY KEY,
    name        BIGINT NOT NULL REFERENCES maas_dns_name (number) ON DELETE CASCADE,
    kind        TEXT NOT NULL,                  -- A, AAAA, CNAME, MX, NS, SRV, SSHFP, TXT
    data        TEXT NOT NULL,
    ttl         BIGINT
);
CREATE INDEX maas_dns_record_name ON maas_dns_record (name);
