//! The C library's memory, which would otherwise grow with every thread that was ever busy: it keeps a part
//! of its own for each, and gives back little of what was freed in it. mimalloc was tried and kept more.

use std::time::Duration;

/// What was freed goes back to the system this often.
const EVERY: Duration = Duration::from_secs(60);

#[cfg(target_env = "gnu")]
mod glibc {
    use std::ffi::c_int;

    /// `M_ARENA_MAX` of mallopt(3).
    pub const ARENA_MAX: c_int = -8;

    #[expect(unsafe_code, reason = "mallopt(3) and malloc_trim(3) have no safe wrapper")]
    unsafe extern "C" {
        pub safe fn mallopt(param: c_int, value: c_int) -> c_int;
        pub safe fn malloc_trim(pad: usize) -> c_int;
    }
}

/// Threads share a few parts. To be called before there are any.
pub fn share() {
    #[cfg(target_env = "gnu")]
    glibc::mallopt(glibc::ARENA_MAX, 2);
}

/// Gives back what was freed from time to time, until dropped.
pub async fn give_back() {
    loop {
        tokio::time::sleep(EVERY).await;
        #[cfg(target_env = "gnu")]
        // It walks through everything: not on a thread that answers requests.
        let _ = tokio::task::spawn_blocking(|| glibc::malloc_trim(0)).await;
    }
}
