-- Subnet pools, address scopes and groups; who else may use what (RBAC); first rules of new security
-- groups; the topology that a project gets by itself.

CREATE TABLE address_scope (
    id          TEXT PRIMARY KEY,
    project_id  TEXT NOT NULL,
    name        TEXT NOT NULL DEFAULT '',
    description TEXT NOT NULL DEFAULT '',
    ip_version  BIGINT NOT NULL,
    revision    BIGINT NOT NULL DEFAULT 1,
    created_at  BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL
);
CREATE INDEX address_scope_project ON address_scope (project_id, created_at, id);

CREATE TABLE subnetpool (
    id          TEXT PRIMARY KEY,
    project_id  TEXT NOT NULL,
    name        TEXT NOT NULL DEFAULT '',
    description TEXT NOT NULL DEFAULT '',
    ip_version  BIGINT NOT NULL,
    is_default  BIGINT NOT NULL DEFAULT 0,
    default_prefixlen BIGINT NOT NULL,
    min_prefixlen BIGINT NOT NULL,
    max_prefixlen BIGINT NOT NULL,
    default_quota BIGINT,                       -- per project: addresses (IPv4) or /64 (IPv6)
    address_scope_id TEXT REFERENCES address_scope (id),
    prefixes    TEXT NOT NULL,                  -- JSON, merged and sorted
    revision    BIGINT NOT NULL DEFAULT 1,
    created_at  BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL
);
CREATE INDEX subnetpool_project ON subnetpool (project_id, created_at, id);
CREATE INDEX subnetpool_scope ON subnetpool (address_scope_id);
CREATE UNIQUE INDEX subnetpool_default ON subnetpool (ip_version) WHERE is_default = 1;

-- What subnets took from pools. `first` and `last` are addresses as 8 or 32 hexadecimal digits. Who
-- writes here holds the pool's row, so that ranges of one pool never overlap.
CREATE TABLE subnetpool_allocation (
    subnet_id   TEXT PRIMARY KEY REFERENCES subnet (id) ON DELETE CASCADE,
    pool_id     TEXT NOT NULL REFERENCES subnetpool (id),
    project_id  TEXT NOT NULL,
    first       TEXT NOT NULL,
    last        TEXT NOT NULL,
    UNIQUE (pool_id, first)
);

CREATE TABLE address_group (
    id          TEXT PRIMARY KEY,
    project_id  TEXT NOT NULL,
    name        TEXT NOT NULL DEFAULT '',
    description TEXT NOT NULL DEFAULT '',
    revision    BIGINT NOT NULL DEFAULT 1,
    created_at  BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL
);
CREATE INDEX address_group_project ON address_group (project_id, created_at, id);

CREATE TABLE address_group_address (
    group_id    TEXT NOT NULL REFERENCES address_group (id) ON DELETE CASCADE,
    address     TEXT NOT NULL,                  -- a prefix, host bits cleared
    PRIMARY KEY (group_id, address)
);

ALTER TABLE security_group_rule ADD COLUMN remote_address_group_id TEXT NOT NULL DEFAULT '';
CREATE INDEX security_group_rule_address_group ON security_group_rule (remote_address_group_id)
    WHERE remote_address_group_id <> '';

-- Rules that a new security group begins with.
CREATE TABLE default_security_group_rule (
    id          TEXT PRIMARY KEY,
    project_id  TEXT NOT NULL DEFAULT '',
    description TEXT NOT NULL DEFAULT '',
    direction   TEXT NOT NULL,
    ethertype   TEXT NOT NULL,
    protocol    TEXT NOT NULL DEFAULT '',
    proto       BIGINT NOT NULL DEFAULT -1,
    port_min    BIGINT NOT NULL DEFAULT -1,
    port_max    BIGINT NOT NULL DEFAULT -1,
    remote_prefix TEXT NOT NULL DEFAULT '',
    remote_group_id TEXT NOT NULL DEFAULT '',   -- PARENT: the new group itself
    remote_address_group_id TEXT NOT NULL DEFAULT '',
    peer        TEXT NOT NULL DEFAULT '',
    in_default  BIGINT NOT NULL DEFAULT 0,      -- for the groups `default`
    in_others   BIGINT NOT NULL DEFAULT 1,
    revision    BIGINT NOT NULL DEFAULT 1,
    created_at  BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL,
    UNIQUE (direction, ethertype, proto, port_min, port_max, peer, in_default, in_others)
);
INSERT INTO default_security_group_rule
    (id, description, direction, ethertype, remote_group_id, peer, in_default, in_others, created_at, updated_at)
VALUES
    ('0b1e6a52-5a0c-4c1e-9d55-0b9a36f1a001', 'Everything may leave', 'egress', 'IPv4', '', '', 1, 1, 1, 1),
    ('0b1e6a52-5a0c-4c1e-9d55-0b9a36f1a002', 'Everything may leave', 'egress', 'IPv6', '', '', 1, 1, 2, 2),
    ('0b1e6a52-5a0c-4c1e-9d55-0b9a36f1a003', 'Members reach one another', 'ingress', 'IPv4', 'PARENT', 'PARENT', 1, 0, 3, 3),
    ('0b1e6a52-5a0c-4c1e-9d55-0b9a36f1a004', 'Members reach one another', 'ingress', 'IPv6', 'PARENT', 'PARENT', 1, 0, 4, 4);

-- Who beside its project may use a thing. `target` is a project or * for all. network.shared and
-- network.external say the same of the target * (external: of any), for those who look at the network.
CREATE TABLE rbac_policy (
    id          TEXT PRIMARY KEY,
    project_id  TEXT NOT NULL,
    description TEXT NOT NULL DEFAULT '',
    object_type TEXT NOT NULL,
    object_id   TEXT NOT NULL,
    action      TEXT NOT NULL,                  -- access_as_shared, access_as_external
    target      TEXT NOT NULL,
    revision    BIGINT NOT NULL DEFAULT 1,
    created_at  BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL,
    UNIQUE (object_id, action, target)
);
CREATE INDEX rbac_policy_project ON rbac_policy (project_id, created_at, id);
CREATE INDEX rbac_policy_target ON rbac_policy (object_type, target);

-- Networks that were shared or external before there were policies. The ids are made from the networks'.
INSERT INTO rbac_policy (id, project_id, object_type, object_id, action, target, created_at, updated_at)
    SELECT id, project_id, 'network', id, 'access_as_shared', '*', created_at, created_at
    FROM network WHERE shared = 1;
INSERT INTO rbac_policy (id, project_id, object_type, object_id, action, target, created_at, updated_at)
    SELECT substr(id, 29, 8) || substr(id, 9), project_id, 'network', id, 'access_as_external', '*', created_at, created_at
    FROM network WHERE external = 1;
INSERT INTO quota (project_id, resource, used)
    SELECT project_id, 'rbac_policy', COUNT(*) FROM rbac_policy WHERE 1 = 1 GROUP BY project_id
    ON CONFLICT (project_id, resource) DO UPDATE SET used = quota.used + excluded.used;

ALTER TABLE network ADD COLUMN az_hints TEXT NOT NULL DEFAULT '[]';
ALTER TABLE router ADD COLUMN az_hints TEXT NOT NULL DEFAULT '[]';
CREATE INDEX subnet_pool ON subnet (subnetpool_id) WHERE subnetpool_id IS NOT NULL;

CREATE TABLE auto_topology (
    project_id  TEXT PRIMARY KEY,
    network_id  TEXT REFERENCES network (id) ON DELETE CASCADE,
    router_id   TEXT REFERENCES router (id) ON DELETE SET NULL
);
