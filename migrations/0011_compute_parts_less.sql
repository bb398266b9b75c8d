-- What a flavor says is read from the flavor that the server keeps, and what a host reports of images with
-- the rest of its report.
ALTER TABLE server_hardware DROP COLUMN limits;
ALTER TABLE server_hardware DROP COLUMN local_disks;
ALTER TABLE host_guest DROP COLUMN captures;
