-- The last of what the serial consoles of machines said while somebody had them open (crates/metal/src/table/console.rs).
CREATE TABLE machine_console_log (
    machine_id  TEXT PRIMARY KEY REFERENCES machine (id) ON DELETE CASCADE,
    project_id  TEXT NOT NULL,                  -- whose the machine was: nobody else reads it
    said        TEXT NOT NULL
);
