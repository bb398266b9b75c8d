-- Hosts on one switch, as placement knows them. Empty: none is named.
ALTER TABLE host ADD COLUMN pod TEXT NOT NULL DEFAULT '';
