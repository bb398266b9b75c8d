-- Guests that may send for others connect networks (crates/network/src/connected.rs).
CREATE INDEX port_lax ON port (network_id) WHERE port_security = 0 OR allowed_pairs <> '[]';
