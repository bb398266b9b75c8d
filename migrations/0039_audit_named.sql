-- Names of what was deleted, and a project's part of the audit trail in the order of its pages.
ALTER TABLE audit ADD COLUMN target_name TEXT;
CREATE INDEX audit_page ON audit (project_id, id);
DROP INDEX audit_project;
