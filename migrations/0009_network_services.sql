-- What may be asked of traffic: QoS policies, port forwardings of floating IPs, access lists of networks.

CREATE TABLE qos_policy (
    id          TEXT PRIMARY KEY,
    project_id  TEXT NOT NULL,
    name        TEXT NOT NULL DEFAULT '',
    description TEXT NOT NULL DEFAULT '',
    shared      BIGINT NOT NULL DEFAULT 0,
    is_default  BIGINT NOT NULL DEFAULT 0,      -- for networks that the project makes
    revision    BIGINT NOT NULL DEFAULT 1,
    created_at  BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL
);
CREATE INDEX qos_policy_project ON qos_policy (project_id, created_at, id);
CREATE UNIQUE INDEX qos_policy_default ON qos_policy (project_id) WHERE is_default = 1;

CREATE TABLE qos_rule (
    id          TEXT PRIMARY KEY,
    policy_id   TEXT NOT NULL REFERENCES qos_policy (id) ON DELETE CASCADE,
    kind        TEXT NOT NULL,                  -- bandwidth_limit, dscp_marking
    direction   TEXT NOT NULL,                  -- egress, ingress: as the guest sees it
    max_kbps    BIGINT NOT NULL DEFAULT 0,
    max_burst_kbps BIGINT NOT NULL DEFAULT 0,   -- in kilobits, whatever its name says; 0: by itself
    dscp_mark   BIGINT NOT NULL DEFAULT 0,
    created_at  BIGINT NOT NULL,
    UNIQUE (policy_id, kind, direction)
);

-- Who has which policy. One that is in use cannot go.
CREATE TABLE port_qos (
    port_id     TEXT PRIMARY KEY REFERENCES port (id) ON DELETE CASCADE,
    policy_id   TEXT NOT NULL REFERENCES qos_policy (id)
);
CREATE INDEX port_qos_policy ON port_qos (policy_id);
CREATE TABLE network_qos (
    network_id  TEXT PRIMARY KEY REFERENCES network (id) ON DELETE CASCADE,
    policy_id   TEXT NOT NULL REFERENCES qos_policy (id)
);
CREATE INDEX network_qos_policy ON network_qos (policy_id);
CREATE TABLE floating_ip_qos (
    floating_ip_id TEXT PRIMARY KEY REFERENCES floating_ip (id) ON DELETE CASCADE,
    policy_id   TEXT NOT NULL REFERENCES qos_policy (id)
);
CREATE INDEX floating_ip_qos_policy ON floating_ip_qos (policy_id);
-- Of a router's gateway.
CREATE TABLE router_qos (
    router_id   TEXT PRIMARY KEY REFERENCES router (id) ON DELETE CASCADE,
    policy_id   TEXT NOT NULL REFERENCES qos_policy (id)
);
CREATE INDEX router_qos_policy ON router_qos (policy_id);

CREATE TABLE port_forwarding (
    id          TEXT PRIMARY KEY,
    floating_ip_id TEXT NOT NULL REFERENCES floating_ip (id) ON DELETE CASCADE,
    description TEXT NOT NULL DEFAULT '',
    protocol    TEXT NOT NULL,                  -- tcp, udp
    external_first BIGINT NOT NULL,
    external_last BIGINT NOT NULL,
    port_id     TEXT NOT NULL REFERENCES port (id) ON DELETE CASCADE,
    address     TEXT NOT NULL,                  -- the port's, where it leads
    internal_first BIGINT NOT NULL,
    internal_last BIGINT NOT NULL,
    created_at  BIGINT NOT NULL,
    -- Overlaps of longer ranges are for the service to refuse.
    UNIQUE (floating_ip_id, protocol, external_first)
);
CREATE INDEX port_forwarding_port ON port_forwarding (port_id);

-- Stateless rules of a network, in the order of their priority.
CREATE TABLE network_acl_rule (
    network_id  TEXT NOT NULL REFERENCES network (id) ON DELETE CASCADE,
    priority    BIGINT NOT NULL,
    direction   TEXT NOT NULL,                  -- egress, ingress: as the guest sees it
    allow       BIGINT NOT NULL,
    ip_version  BIGINT NOT NULL DEFAULT 0,      -- 4, 6; 0: both
    protocol    BIGINT NOT NULL DEFAULT -1,     -- its number; -1: any
    port_first  BIGINT NOT NULL DEFAULT -1,     -- destination ports; -1: any
    port_last   BIGINT NOT NULL DEFAULT -1,
    source_first BIGINT NOT NULL DEFAULT -1,    -- source ports; -1: any
    source_last BIGINT NOT NULL DEFAULT -1,
    remote      TEXT NOT NULL DEFAULT '',       -- prefix; '': any
    description TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (network_id, priority)
);
