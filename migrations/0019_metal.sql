-- Machines: computers that are handed out whole, the racks that serve them, the networks they stand on.
-- Short numbers (`number`) are for the MAAS API, which names things so; see `metal_counter`.

CREATE TABLE metal_counter (
    name        TEXT PRIMARY KEY,               -- nic, disk, segment, subnet, range, pool, zone, key
    value       BIGINT NOT NULL                 -- the last one given
);

-- A rack controller: it boots the machines of a layer-2 network and switches their power.
CREATE TABLE rack (
    id          TEXT PRIMARY KEY,
    number      BIGINT NOT NULL UNIQUE,
    name        TEXT NOT NULL UNIQUE,
    token_hash  TEXT NOT NULL UNIQUE,           -- hex SHA-256 of its token, or of its certificate's key
    generation  BIGINT NOT NULL DEFAULT 1,      -- of the desired document
    applied     BIGINT NOT NULL DEFAULT 0,      -- newest generation that it reported
    seen_at     BIGINT NOT NULL DEFAULT 0,
    version     TEXT NOT NULL DEFAULT '',
    interfaces  TEXT NOT NULL DEFAULT '[]',     -- JSON of base::doc::rack::RackInterface
    digest      TEXT NOT NULL DEFAULT '',       -- of the last report: tells a repetition from news
    created_at  BIGINT NOT NULL
);

-- Invitations of racks, as join_token are of hosts.
CREATE TABLE rack_token (
    id          TEXT PRIMARY KEY,
    secret_hash TEXT NOT NULL UNIQUE,
    rack_name   TEXT NOT NULL DEFAULT '',       -- whom it is for; empty: by the name that it says
    created_at  BIGINT NOT NULL,
    expires_at  BIGINT NOT NULL,
    used_at     BIGINT,
    rack_id     TEXT REFERENCES rack (id) ON DELETE SET NULL,
    proof       TEXT NOT NULL DEFAULT ''
);

-- A layer-2 network of machines.
CREATE TABLE segment (
    id          TEXT PRIMARY KEY,
    number      BIGINT NOT NULL UNIQUE,
    name        TEXT NOT NULL UNIQUE,
    rack_id     TEXT REFERENCES rack (id) ON DELETE SET NULL,
    interface   TEXT NOT NULL DEFAULT '',       -- the rack's on it
    dhcp        TEXT NOT NULL DEFAULT 'off',    -- off, serve, proxy
    enlist      BIGINT NOT NULL DEFAULT 1,      -- unknown machines are shown the live system
    description TEXT NOT NULL DEFAULT '',
    -- what the rack says of it
    free        BIGINT NOT NULL DEFAULT 0,      -- addresses that can still be leased
    foreign_dhcp TEXT NOT NULL DEFAULT '[]',    -- JSON: other DHCP servers that answer there
    reason      TEXT NOT NULL DEFAULT '',
    created_at  BIGINT NOT NULL
);

CREATE TABLE metal_subnet (
    id          TEXT PRIMARY KEY,
    number      BIGINT NOT NULL UNIQUE,
    segment_id  TEXT NOT NULL REFERENCES segment (id) ON DELETE CASCADE,
    name        TEXT NOT NULL,
    cidr        TEXT NOT NULL UNIQUE,
    address     TEXT NOT NULL,                  -- the rack's own
    gateway     TEXT,
    dns         TEXT NOT NULL DEFAULT '[]',     -- JSON; empty: the rack
    ntp         TEXT NOT NULL DEFAULT '[]',     -- JSON
    relays      TEXT NOT NULL DEFAULT '[]',     -- JSON: giaddr of relays
    mtu         BIGINT NOT NULL DEFAULT 0,
    created_at  BIGINT NOT NULL
);
CREATE INDEX metal_subnet_segment ON metal_subnet (segment_id);

-- Parts of a subnet: `dynamic` is leased to machines without an address of their own, `reserved` is given to nobody.
CREATE TABLE metal_range (
    id          TEXT PRIMARY KEY,
    number      BIGINT NOT NULL UNIQUE,
    subnet_id   TEXT NOT NULL REFERENCES metal_subnet (id) ON DELETE CASCADE,
    kind        TEXT NOT NULL DEFAULT 'dynamic',
    first       TEXT NOT NULL,
    last        TEXT NOT NULL,
    comment     TEXT NOT NULL DEFAULT ''
);
CREATE INDEX metal_range_subnet ON metal_range (subnet_id);

CREATE TABLE metal_zone (
    id          TEXT PRIMARY KEY,
    number      BIGINT NOT NULL UNIQUE,
    name        TEXT NOT NULL UNIQUE,
    description TEXT NOT NULL DEFAULT '',
    created_at  BIGINT NOT NULL
);
CREATE TABLE metal_pool (
    id          TEXT PRIMARY KEY,
    number      BIGINT NOT NULL UNIQUE,
    name        TEXT NOT NULL UNIQUE,
    description TEXT NOT NULL DEFAULT '',
    created_at  BIGINT NOT NULL
);
INSERT INTO metal_counter (name, value) VALUES ('zone', 1), ('pool', 0);
INSERT INTO metal_zone (id, number, name, created_at) VALUES ('default', 1, 'default', 0);
INSERT INTO metal_pool (id, number, name, description, created_at) VALUES ('default', 0, 'default', 'Default pool', 0);

CREATE TABLE machine (
    id          TEXT PRIMARY KEY,
    system_id   TEXT NOT NULL UNIQUE,           -- six letters and digits, for the MAAS API
    name        TEXT NOT NULL,
    description TEXT NOT NULL DEFAULT '',
    -- where it is in its life: MAAS's number (model.rs), the one it goes back to, words for people
    status      BIGINT NOT NULL DEFAULT 0,
    previous    BIGINT NOT NULL DEFAULT 0,
    status_at   BIGINT NOT NULL,
    message     TEXT NOT NULL DEFAULT '',
    -- whose it is
    project_id  TEXT NOT NULL DEFAULT '',
    user_id     TEXT NOT NULL DEFAULT '',
    owner_data  TEXT NOT NULL DEFAULT '{}',     -- JSON: the owner's own notes
    agent_name  TEXT NOT NULL DEFAULT '',
    zone_id     TEXT NOT NULL DEFAULT 'default' REFERENCES metal_zone (id),
    pool_id     TEXT NOT NULL DEFAULT 'default' REFERENCES metal_pool (id),
    locked      BIGINT NOT NULL DEFAULT 0,
    -- what it is
    rack_id     TEXT REFERENCES rack (id) ON DELETE SET NULL,
    uuid        TEXT NOT NULL DEFAULT '',       -- SMBIOS, lower case
    serial      TEXT NOT NULL DEFAULT '',
    arch        TEXT NOT NULL DEFAULT 'amd64',
    uefi        BIGINT NOT NULL DEFAULT 0,
    vendor      TEXT NOT NULL DEFAULT '',
    product     TEXT NOT NULL DEFAULT '',
    cpu_model   TEXT NOT NULL DEFAULT '',
    cpu_mhz     BIGINT NOT NULL DEFAULT 0,
    cores       BIGINT NOT NULL DEFAULT 0,      -- threads that the kernel schedules on
    memory_mib  BIGINT NOT NULL DEFAULT 0,
    disk_bytes  BIGINT NOT NULL DEFAULT 0,      -- all disks together
    resource_class TEXT NOT NULL DEFAULT '',
    class_by_hand BIGINT NOT NULL DEFAULT 0,
    inventory   TEXT NOT NULL DEFAULT '',       -- JSON of base::doc::live::Inventory; empty: never measured
    inventory_at BIGINT NOT NULL DEFAULT 0,
    bmc_kind    TEXT NOT NULL DEFAULT 'manual',
    bmc         TEXT NOT NULL DEFAULT '',       -- JSON of base::doc::rack::Bmc, sealed by the master key
    -- intent: what was asked, and what rack and live system are told
    op          BIGINT NOT NULL DEFAULT 0,      -- grows with everything that is asked
    errand      TEXT NOT NULL DEFAULT '',       -- JSON of what was asked (model::Errand), sealed
    boot        TEXT NOT NULL DEFAULT 'live',   -- live, local, off
    want_power  BIGINT,
    power_cycles BIGINT NOT NULL DEFAULT 0,
    power_hard  BIGINT NOT NULL DEFAULT 0,
    boot_from   TEXT NOT NULL DEFAULT 'unset',
    stay_until  BIGINT NOT NULL DEFAULT 0,      -- an idle live system is kept up until then
    deleted_at  BIGINT,
    -- what was deployed
    image_id    TEXT NOT NULL DEFAULT '',
    image_name  TEXT NOT NULL DEFAULT '',
    image_sha512 TEXT NOT NULL DEFAULT '',
    as_host     BIGINT NOT NULL DEFAULT 0,
    booted_hash TEXT NOT NULL DEFAULT '',       -- of the secret by which the deployed system says that it is up
    booted_at   BIGINT NOT NULL DEFAULT 0,
    deployed_at BIGINT NOT NULL DEFAULT 0,
    created_at  BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL
);
CREATE UNIQUE INDEX machine_name ON machine (name) WHERE deleted_at IS NULL;
CREATE INDEX machine_rack ON machine (rack_id);
CREATE INDEX machine_page ON machine (created_at, id);
CREATE INDEX machine_status ON machine (status);
CREATE INDEX machine_project ON machine (project_id);
CREATE INDEX machine_booted ON machine (booted_hash) WHERE booted_hash <> '';

CREATE TABLE machine_nic (
    id          TEXT PRIMARY KEY,
    number      BIGINT NOT NULL UNIQUE,
    machine_id  TEXT NOT NULL REFERENCES machine (id) ON DELETE CASCADE,
    mac         TEXT NOT NULL UNIQUE,           -- lower case, with colons
    name        TEXT NOT NULL DEFAULT '',
    boot        BIGINT NOT NULL DEFAULT 0,      -- it starts from this one
    link        BIGINT NOT NULL DEFAULT 0,
    speed       BIGINT NOT NULL DEFAULT 0,      -- Mbit/s
    driver      TEXT NOT NULL DEFAULT '',
    product     TEXT NOT NULL DEFAULT '',
    neighbour   TEXT NOT NULL DEFAULT '',       -- JSON of base::doc::live::Neighbour; empty: none heard
    segment_id  TEXT REFERENCES segment (id) ON DELETE SET NULL
);
CREATE INDEX machine_nic_machine ON machine_nic (machine_id);

-- An address that is a NIC's, or (without one) nobody's for the present.
CREATE TABLE metal_address (
    subnet_id   TEXT NOT NULL REFERENCES metal_subnet (id) ON DELETE CASCADE,
    address     TEXT NOT NULL,
    nic_id      TEXT REFERENCES machine_nic (id) ON DELETE CASCADE,
    kind        TEXT NOT NULL DEFAULT 'auto',   -- auto: given at deployment; static: chosen by somebody
    user_id     TEXT NOT NULL DEFAULT '',
    created_at  BIGINT NOT NULL,
    PRIMARY KEY (subnet_id, address)
);
CREATE INDEX metal_address_nic ON metal_address (nic_id);

CREATE TABLE machine_disk (
    machine_id  TEXT NOT NULL REFERENCES machine (id) ON DELETE CASCADE,
    disk_id     TEXT NOT NULL,                  -- base::doc::live::DiskFacts::id
    number      BIGINT NOT NULL UNIQUE,
    name        TEXT NOT NULL,
    model       TEXT NOT NULL DEFAULT '',
    serial      TEXT NOT NULL DEFAULT '',
    size_bytes  BIGINT NOT NULL,
    sector      BIGINT NOT NULL DEFAULT 512,
    kind        TEXT NOT NULL DEFAULT 'unknown',-- hdd, ssd, nvme, virtual, unknown
    removable   BIGINT NOT NULL DEFAULT 0,
    role        TEXT NOT NULL DEFAULT '',       -- boot (system and guests' disks), bulk (files)
    role_by_hand BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (machine_id, disk_id)
);

CREATE TABLE metal_tag (
    name        TEXT PRIMARY KEY,
    comment     TEXT NOT NULL DEFAULT '',
    definition  TEXT NOT NULL DEFAULT '',
    kernel_opts TEXT NOT NULL DEFAULT '',
    created_at  BIGINT NOT NULL
);
CREATE TABLE machine_tag (
    machine_id  TEXT NOT NULL REFERENCES machine (id) ON DELETE CASCADE,
    name        TEXT NOT NULL,
    automatic   BIGINT NOT NULL DEFAULT 0,      -- worked out from the inventory
    PRIMARY KEY (machine_id, name)
);
CREATE INDEX machine_tag_name ON machine_tag (name);

CREATE TABLE machine_test (
    machine_id  TEXT NOT NULL REFERENCES machine (id) ON DELETE CASCADE,
    number      BIGINT NOT NULL,                -- of the task
    test        TEXT NOT NULL,
    part        TEXT NOT NULL,
    passed      BIGINT NOT NULL,
    output      TEXT NOT NULL DEFAULT '',
    at          BIGINT NOT NULL,
    PRIMARY KEY (machine_id, number, test, part)
);

-- What was wiped. Outlives the machine.
CREATE TABLE erase_report (
    id          TEXT PRIMARY KEY,               -- version 7 uuid
    machine_id  TEXT NOT NULL,
    machine_name TEXT NOT NULL,
    serial      TEXT NOT NULL,
    at          BIGINT NOT NULL,
    mode        TEXT NOT NULL,
    clean       BIGINT NOT NULL,
    disks       TEXT NOT NULL                   -- JSON of base::doc::live::Erased
);
CREATE INDEX erase_report_machine ON erase_report (machine_id, at);

-- What the racks see of machines.
CREATE TABLE machine_seen (
    machine_id  TEXT PRIMARY KEY REFERENCES machine (id) ON DELETE CASCADE,
    power       BIGINT,                         -- null: not known
    cycles      BIGINT NOT NULL DEFAULT 0,      -- restarts carried out
    reason      TEXT NOT NULL DEFAULT '',
    read_at     BIGINT,
    boot_at     BIGINT,                         -- it last asked to boot from the network
    boot_answer TEXT NOT NULL DEFAULT ''
);

-- Secrets on kernel command lines.
CREATE TABLE boot_token (
    hash        TEXT PRIMARY KEY,               -- hex SHA-256
    sealed      TEXT NOT NULL,                  -- by the master key: told again until it is used
    machine_id  TEXT REFERENCES machine (id) ON DELETE CASCADE,     -- null: nobody knows the machine yet
    segment_id  TEXT,                           -- where a stranger asked
    mac         TEXT NOT NULL DEFAULT '',       -- of a stranger
    created_at  BIGINT NOT NULL,
    expires_at  BIGINT NOT NULL,                -- 0: never
    used_at     BIGINT
);
CREATE INDEX boot_token_machine ON boot_token (machine_id);
CREATE INDEX boot_token_mac ON boot_token (mac);

-- The live system that runs on a machine.
CREATE TABLE live_session (
    machine_id  TEXT PRIMARY KEY REFERENCES machine (id) ON DELETE CASCADE,
    hash        TEXT NOT NULL UNIQUE,           -- of the session's secret
    boot_hash   TEXT NOT NULL,                  -- of the token that it came by
    begun_at    BIGINT NOT NULL,
    seen_at     BIGINT NOT NULL,
    used        BIGINT NOT NULL DEFAULT 0,      -- 1 once it has asked for a task
    address     TEXT NOT NULL DEFAULT '',
    peer_port   BIGINT NOT NULL DEFAULT 0,
    version     TEXT NOT NULL DEFAULT ''
);

-- What the live system is told to do, and how that goes.
CREATE TABLE machine_task (
    machine_id  TEXT PRIMARY KEY REFERENCES machine (id) ON DELETE CASCADE,
    number      BIGINT NOT NULL,
    work        TEXT NOT NULL,                  -- JSON of base::doc::live::Work, sealed
    stage       TEXT NOT NULL DEFAULT '',       -- empty: not begun; running, done, failed
    reason      TEXT NOT NULL DEFAULT '',
    done_bytes  BIGINT NOT NULL DEFAULT 0,
    total_bytes BIGINT NOT NULL DEFAULT 0,
    results     TEXT NOT NULL DEFAULT '[]',
    erased      TEXT NOT NULL DEFAULT '[]',
    told_at     BIGINT NOT NULL,
    reported_at BIGINT NOT NULL DEFAULT 0
);

CREATE TABLE metal_lease (
    segment_id  TEXT NOT NULL REFERENCES segment (id) ON DELETE CASCADE,
    mac         TEXT NOT NULL,
    address     TEXT NOT NULL,
    hostname    TEXT NOT NULL DEFAULT '',
    expires_at  BIGINT NOT NULL,
    PRIMARY KEY (segment_id, mac, address)
);
CREATE INDEX metal_lease_mac ON metal_lease (mac);

-- Who asked to boot and is no machine.
CREATE TABLE stranger (
    mac         TEXT PRIMARY KEY,
    segment_id  TEXT NOT NULL REFERENCES segment (id) ON DELETE CASCADE,
    uuid        TEXT NOT NULL DEFAULT '',
    arch        BIGINT NOT NULL DEFAULT 0,
    address     TEXT,
    first_at    BIGINT NOT NULL,
    last_at     BIGINT NOT NULL
);

CREATE TABLE rack_image (
    rack_id     TEXT NOT NULL REFERENCES rack (id) ON DELETE CASCADE,
    sha512      TEXT NOT NULL,
    ready       BIGINT NOT NULL,
    done_bytes  BIGINT NOT NULL DEFAULT 0,
    total_bytes BIGINT NOT NULL DEFAULT 0,
    virtual_size BIGINT NOT NULL DEFAULT 0,
    reason      TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (rack_id, sha512)
);

-- Keys for machines, of users; the live system lets in those of administrators (`operator` 1).
CREATE TABLE metal_key (
    number      BIGINT PRIMARY KEY,
    user_id     TEXT NOT NULL,
    key         TEXT NOT NULL,                  -- a line of authorized_keys
    source      TEXT NOT NULL DEFAULT '',
    operator    BIGINT NOT NULL DEFAULT 0,
    created_at  BIGINT NOT NULL
);
CREATE UNIQUE INDEX metal_key_once ON metal_key (user_id, key);
