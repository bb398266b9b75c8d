-- Networks that lie on a VLAN (IEEE 802.1Q) of a physical network. Apart from `uplink`, so that a release that knows no
-- VLANs takes such a network for one that has no wire, and never for the untagged one.
ALTER TABLE network ADD COLUMN vlan_physical TEXT;
ALTER TABLE network ADD COLUMN vlan_segment BIGINT;
CREATE UNIQUE INDEX network_vlan ON network (vlan_physical, vlan_segment) WHERE vlan_segment IS NOT NULL;
-- Whether a host's kernel tags frames.
ALTER TABLE host_link ADD COLUMN vlans BIGINT NOT NULL DEFAULT 0;
