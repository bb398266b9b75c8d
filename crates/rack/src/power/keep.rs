//! What must outlast the process, one small file for each machine, replaced whole.

use super::plan::Kept;
use base::{MachineId, Result};
use std::collections::HashMap;
use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

#[derive(Clone)]
pub(super) struct Keep {
    dir: PathBuf,
}

impl Keep {
    /// # Errors
    /// When the directory cannot be made or read.
    pub fn open(dir: &Path) -> Result<(Keep, HashMap<MachineId, Kept>)> {
        fs::create_dir_all(dir)?;
        let mut all = HashMap::new();
        for file in fs::read_dir(dir)? {
            let file = file?.path();
            let id = file.file_stem().and_then(|s| s.to_str()).and_then(|s| s.parse().ok());
            let Some(id) = id.filter(|_| file.extension().is_some_and(|e| e == "json")) else { continue };
            match serde_json::from_slice(&fs::read(&file)?) {
                Ok(kept) => drop(all.insert(id, kept)),
                Err(e) => tracing::error!("{} cannot be read ({e}): left alone", file.display()),
            }
        }
        Ok((Keep { dir: dir.to_owned() }, all))
    }

    /// On disk when it returns.
    pub fn put(&self, id: MachineId, kept: Kept) -> Result<()> {
        let draft = self.dir.join(format!("{id}.new"));
        let mut file = fs::File::create(&draft)?;
        file.write_all(&serde_json::to_vec(&kept)?)?;
        file.sync_all()?;
        fs::rename(&draft, self.dir.join(format!("{id}.json")))?;
        fs::File::open(&self.dir)?.sync_all()?;
        Ok(())
    }

    pub fn forget(&self, id: MachineId) -> Result<()> {
        match fs::remove_file(self.dir.join(format!("{id}.json"))) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(e.into()),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_is_there_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let (keep, none) = Keep::open(&dir.path().join("power")).unwrap();
        assert!(none.is_empty());
        let (a, b) = (MachineId::new(), MachineId::new());
        let kept = Kept { cycles: 3, off_for: 4, efi: Some(true) };
        keep.put(a, Kept::default()).unwrap();
        keep.put(a, kept).unwrap();
        keep.put(b, kept).unwrap();
        keep.forget(b).unwrap();
        keep.forget(b).unwrap();
        fs::write(dir.path().join("power/other.txt"), "x").unwrap();
        let (_, all) = Keep::open(&dir.path().join("power")).unwrap();
        assert_eq!(all, HashMap::from([(a, kept)]));
    }
}
