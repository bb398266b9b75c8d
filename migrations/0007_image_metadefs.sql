-- What properties mean: namespaces of definitions, for people and programs that ask for them.
CREATE TABLE metadef_namespace (
    id          TEXT PRIMARY KEY,               -- ours; the API goes by the name
    namespace   TEXT NOT NULL UNIQUE,
    display_name TEXT,
    description TEXT,
    visibility  TEXT NOT NULL,                  -- public, private
    protected   BIGINT NOT NULL DEFAULT 0,
    owner       TEXT NOT NULL,                  -- project id
    created_at  BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL
);
CREATE INDEX metadef_namespace_page ON metadef_namespace (created_at, namespace);

-- What definitions are about, such as OS::Glance::Image.
CREATE TABLE metadef_resource_type (
    name        TEXT PRIMARY KEY,
    created_at  BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL
);

CREATE TABLE metadef_association (
    namespace_id TEXT NOT NULL REFERENCES metadef_namespace (id) ON DELETE CASCADE,
    resource_type TEXT NOT NULL REFERENCES metadef_resource_type (name),
    prefix      TEXT,
    properties_target TEXT,
    created_at  BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL,
    PRIMARY KEY (namespace_id, resource_type)
);

-- Objects, properties and tags of a namespace.
CREATE TABLE metadef_item (
    namespace_id TEXT NOT NULL REFERENCES metadef_namespace (id) ON DELETE CASCADE,
    kind        TEXT NOT NULL,                  -- object, property, tag
    name        TEXT NOT NULL,
    body        TEXT NOT NULL,                  -- JSON: the definition without its name
    created_at  BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL,
    PRIMARY KEY (namespace_id, kind, name)
);
