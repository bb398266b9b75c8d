CREATE TABLE network (
    id          TEXT PRIMARY KEY,
    project_id  TEXT NOT NULL,
    name        TEXT NOT NULL DEFAULT '',
    description TEXT NOT NULL DEFAULT '',
    admin_up    BIGINT NOT NULL DEFAULT 1,
    shared      BIGINT NOT NULL DEFAULT 0,
    external    BIGINT NOT NULL DEFAULT 0,
    is_default  BIGINT NOT NULL DEFAULT 0,
    mtu         BIGINT NOT NULL,
    vni         BIGINT NOT NULL UNIQUE,         -- VXLAN network identifier
    uplink      TEXT,                           -- JSON of base::doc::Uplink for a provider network
    port_security BIGINT NOT NULL DEFAULT 1,
    dns_domain  TEXT NOT NULL DEFAULT '',
    revision    BIGINT NOT NULL DEFAULT 1,
    created_at  BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL
);
CREATE INDEX network_project ON network (project_id, created_at, id);
CREATE INDEX network_page ON network (created_at, id);
-- What everybody sees is little: each list looks for it beside the project's own.
CREATE INDEX network_shared ON network (shared) WHERE shared = 1;
CREATE INDEX network_external ON network (external) WHERE external = 1;

CREATE TABLE subnet (
    id          TEXT PRIMARY KEY,
    network_id  TEXT NOT NULL REFERENCES network (id) ON DELETE CASCADE,
    project_id  TEXT NOT NULL,
    name        TEXT NOT NULL DEFAULT '',
    description TEXT NOT NULL DEFAULT '',
    ip_version  BIGINT NOT NULL,
    cidr        TEXT NOT NULL,
    gateway_ip  TEXT,
    enable_dhcp BIGINT NOT NULL DEFAULT 1,
    ipv6_ra_mode TEXT,
    ipv6_address_mode TEXT,
    pools       TEXT NOT NULL,                  -- JSON [[start, end], …]
    dns         TEXT NOT NULL DEFAULT '[]',
    routes      TEXT NOT NULL DEFAULT '[]',
    service_types TEXT NOT NULL DEFAULT '[]',
    subnetpool_id TEXT,
    revision    BIGINT NOT NULL DEFAULT 1,
    created_at  BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL
);
CREATE INDEX subnet_network ON subnet (network_id);
CREATE INDEX subnet_project ON subnet (project_id, created_at, id);
CREATE INDEX subnet_page ON subnet (created_at, id);

CREATE TABLE port (
    id          TEXT PRIMARY KEY,
    network_id  TEXT NOT NULL REFERENCES network (id),
    project_id  TEXT NOT NULL,
    name        TEXT NOT NULL DEFAULT '',
    description TEXT NOT NULL DEFAULT '',
    mac         TEXT NOT NULL,
    admin_up    BIGINT NOT NULL DEFAULT 1,
    status      TEXT NOT NULL DEFAULT 'DOWN',   -- DOWN, ACTIVE
    device_id   TEXT NOT NULL DEFAULT '',
    device_owner TEXT NOT NULL DEFAULT '',      -- compute:nova, network:router_interface, …
    host_id     TEXT REFERENCES host (id),      -- where it is bound
    binding_host TEXT NOT NULL DEFAULT '',      -- binding:host_id as the API was given it
    vnic_type   TEXT NOT NULL DEFAULT 'normal',
    profile     TEXT NOT NULL DEFAULT '{}',
    port_security BIGINT NOT NULL DEFAULT 1,
    allowed_pairs TEXT NOT NULL DEFAULT '[]',
    dhcp_options TEXT NOT NULL DEFAULT '[]',
    dns_name    TEXT NOT NULL DEFAULT '',
    made_by_compute BIGINT NOT NULL DEFAULT 0,  -- 1: goes with the server
    position    BIGINT NOT NULL DEFAULT 0,      -- order among the NICs of its server
    revision    BIGINT NOT NULL DEFAULT 1,
    created_at  BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL,
    UNIQUE (network_id, mac)
);
CREATE INDEX port_device ON port (device_id);
CREATE INDEX port_host ON port (host_id) WHERE host_id IS NOT NULL;
CREATE INDEX port_network_host ON port (network_id, host_id) WHERE host_id IS NOT NULL;
CREATE INDEX port_project ON port (project_id, created_at, id);
CREATE INDEX port_page ON port (created_at, id);

-- An address is one row: nobody can be given it twice. `key` is the address as 8 (IPv4) or 32 (IPv6)
-- hexadecimal digits, so that its order is that of the numbers and gaps can be found by walking the
-- index. `seq` keeps the order in a port's fixed_ips.
CREATE TABLE port_address (
    subnet_id   TEXT NOT NULL REFERENCES subnet (id),
    key         TEXT NOT NULL,
    address     TEXT NOT NULL,
    port_id     TEXT NOT NULL REFERENCES port (id) ON DELETE CASCADE,
    seq         BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (subnet_id, key)
);
CREATE INDEX port_address_address ON port_address (address);
CREATE INDEX port_address_port ON port_address (port_id);

CREATE TABLE security_group (
    id          TEXT PRIMARY KEY,
    project_id  TEXT NOT NULL,
    name        TEXT NOT NULL,
    description TEXT NOT NULL DEFAULT '',
    stateful    BIGINT NOT NULL DEFAULT 1,
    revision    BIGINT NOT NULL DEFAULT 1,
    created_at  BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL
);
CREATE INDEX security_group_project ON security_group (project_id, created_at, id);
-- Two requests at once cannot both make a project's default group.
CREATE UNIQUE INDEX security_group_default ON security_group (project_id) WHERE name = 'default';

CREATE TABLE security_group_rule (
    id          TEXT PRIMARY KEY,
    group_id    TEXT NOT NULL REFERENCES security_group (id) ON DELETE CASCADE,
    project_id  TEXT NOT NULL,
    description TEXT NOT NULL DEFAULT '',
    direction   TEXT NOT NULL,
    ethertype   TEXT NOT NULL,                  -- IPv4, IPv6
    protocol    TEXT NOT NULL DEFAULT '',       -- as given: name, number or '' for any
    proto       BIGINT NOT NULL DEFAULT -1,     -- its number; -1: any
    port_min    BIGINT NOT NULL DEFAULT -1,     -- -1: not set
    port_max    BIGINT NOT NULL DEFAULT -1,
    remote_prefix TEXT NOT NULL DEFAULT '',     -- as given
    remote_group_id TEXT NOT NULL DEFAULT '',
    peer        TEXT NOT NULL DEFAULT '',       -- who it is about: group id, masked prefix, '' for anybody
    revision    BIGINT NOT NULL DEFAULT 1,
    created_at  BIGINT NOT NULL,
    UNIQUE (group_id, direction, ethertype, proto, port_min, port_max, peer)
);
CREATE INDEX security_group_rule_project ON security_group_rule (project_id, created_at, id);
CREATE INDEX security_group_rule_remote ON security_group_rule (remote_group_id);

CREATE TABLE port_security_group (
    port_id     TEXT NOT NULL REFERENCES port (id) ON DELETE CASCADE,
    group_id    TEXT NOT NULL REFERENCES security_group (id),
    PRIMARY KEY (port_id, group_id)
);
CREATE INDEX port_security_group_group ON port_security_group (group_id);

CREATE TABLE router (
    id          TEXT PRIMARY KEY,
    project_id  TEXT NOT NULL,
    name        TEXT NOT NULL DEFAULT '',
    description TEXT NOT NULL DEFAULT '',
    admin_up    BIGINT NOT NULL DEFAULT 1,
    gateway_port_id TEXT REFERENCES port (id),
    enable_snat BIGINT NOT NULL DEFAULT 1,
    routes      TEXT NOT NULL DEFAULT '[]',
    home_host_id TEXT REFERENCES host (id),     -- does SNAT and floating IPs
    revision    BIGINT NOT NULL DEFAULT 1,
    created_at  BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL
);
CREATE INDEX router_project ON router (project_id, created_at, id);
CREATE INDEX router_gateway ON router (gateway_port_id);
CREATE INDEX router_home ON router (home_host_id);

CREATE TABLE router_interface (
    port_id     TEXT PRIMARY KEY REFERENCES port (id),
    router_id   TEXT NOT NULL REFERENCES router (id),
    network_id  TEXT NOT NULL REFERENCES network (id)
);
CREATE INDEX router_interface_router ON router_interface (router_id);
CREATE INDEX router_interface_network ON router_interface (network_id);

CREATE TABLE floating_ip (
    id          TEXT PRIMARY KEY,
    project_id  TEXT NOT NULL,
    description TEXT NOT NULL DEFAULT '',
    network_id  TEXT NOT NULL REFERENCES network (id),
    own_port_id TEXT NOT NULL REFERENCES port (id),  -- holds the address on the external network
    address     TEXT NOT NULL,
    port_id     TEXT REFERENCES port (id),
    fixed_address TEXT,
    router_id   TEXT REFERENCES router (id),
    status      TEXT NOT NULL DEFAULT 'DOWN',
    revision    BIGINT NOT NULL DEFAULT 1,
    created_at  BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL,
    UNIQUE (network_id, address),
    UNIQUE (port_id, fixed_address)
);
CREATE INDEX floating_ip_project ON floating_ip (project_id, created_at, id);
CREATE INDEX floating_ip_router ON floating_ip (router_id);
CREATE INDEX floating_ip_own_port ON floating_ip (own_port_id);

-- Tags of every Network resource.
CREATE TABLE network_tag (
    resource_id TEXT NOT NULL,
    tag         TEXT NOT NULL,
    PRIMARY KEY (resource_id, tag)
);

-- What people wrote about the agents that each host is shown with.
CREATE TABLE network_agent (
    id          TEXT PRIMARY KEY,
    description TEXT NOT NULL DEFAULT '',
    admin_up    BIGINT NOT NULL DEFAULT 1
);
