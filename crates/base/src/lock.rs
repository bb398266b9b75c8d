//! Files by which a process says that it alone works somewhere.

use std::fs::File;
use std::thread::sleep;
use std::time::Duration;

/// Together a second.
const TRIES: u32 = 50;
const PAUSE: Duration = Duration::from_millis(20);

/// Takes the file's lock until the file is dropped; `false` where another process keeps it. Whoever was just killed may have
/// left a child between fork and exec, which holds on to it for an instant: a second is waited for that, which blocks.
#[must_use]
pub fn alone(file: &File) -> bool {
    (0..TRIES).any(|tries| {
        if tries > 0 {
            sleep(PAUSE);
        }
        file.try_lock().is_ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_lets_go_in_a_moment_is_waited_for_and_nobody_else() {
        let path = std::env::temp_dir().join(format!("hanok-lock-{}", std::process::id()));
        let [first, second, third] = [(); 3].map(|()| File::create(&path).unwrap());
        assert!(alone(&first));
        let leaves = std::thread::spawn(move || {
            sleep(PAUSE * 3);
            drop(first);
        });
        assert!(alone(&second));
        leaves.join().unwrap();
        assert!(!alone(&third), "it is taken");
        drop(second);
        assert!(alone(&third));
        std::fs::remove_file(path).unwrap();
    }
}
