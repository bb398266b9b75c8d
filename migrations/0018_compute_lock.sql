-- Who locked a server: its owner, or an administrator, whose lock only an administrator takes off.
ALTER TABLE server ADD COLUMN locked_by TEXT;   -- owner | admin
