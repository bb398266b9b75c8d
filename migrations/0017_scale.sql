-- What grows with hosts and servers is found by an index.

-- States that may take too long. Most rows are at rest and have no budget.
CREATE INDEX work_budget ON work ((since + budget)) WHERE budget IS NOT NULL AND overrun = 0;

-- Hosts by free memory, which is what ranks them for a new server.
CREATE INDEX host_free_memory ON host ((memory_mib - memory_mib_used), id);
