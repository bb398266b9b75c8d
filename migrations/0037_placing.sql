-- Hosts are found by their traits and pods, however many there are.
CREATE INDEX host_trait_name ON host_trait (name);
CREATE INDEX host_pod ON host (pod) WHERE pod <> '';
