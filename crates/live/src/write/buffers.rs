//! Memory for chunks that goes round: fresh memory is made zero by the kernel, page by page, which costs as much time as
//! hashing what is put there.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex};

/// Buffers that nobody uses now.
#[derive(Default)]
pub struct Buffers(Mutex<Vec<Vec<u8>>>);

/// Empty when it is taken; goes back when it is dropped.
pub struct Buffer {
    bytes: Vec<u8>,
    home: Arc<Buffers>,
}

impl Buffers {
    /// With room for so many bytes.
    pub fn take(self: &Arc<Self>, room: usize) -> Buffer {
        let spare = self.0.lock().ok().and_then(|mut all| all.pop());
        let mut bytes = spare.unwrap_or_default();
        bytes.reserve(room);
        Buffer { bytes, home: self.clone() }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.clear();
        if let Ok(mut all) = self.home.0.lock() {
            all.push(bytes);
        }
    }
}

impl Deref for Buffer {
    type Target = Vec<u8>;
    fn deref(&self) -> &Vec<u8> {
        &self.bytes
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_let_go_is_taken_again_and_empty() {
        let home = Arc::new(Buffers::default());
        let mut first = home.take(1 << 20);
        first.extend([7; 100]);
        let at = first.as_ptr();
        let second = home.take(10);
        assert_ne!(second.as_ptr(), at, "one at a time");
        drop(first);
        let again = home.take(1 << 20);
        assert_eq!((again.as_ptr(), again.len()), (at, 0));
    }
}
