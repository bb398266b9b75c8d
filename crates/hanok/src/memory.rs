//! Where memory comes from, for us and for the C libraries in us: jemalloc. The C library's own has a few parts that
//! threads wait for, or one for each, which it never gives back. On two cores, `servers/detail` of 100 came 394 times a
//! second with the former and comes 730 times with this, and 66 MiB are resident at rest where they were 82.
//!
//! It is a sixth of what a debug build from nothing costs. mimalloc 0.1.52, a single file of C, had 101 MiB at rest where
//! this had 70 in the same hour, 781 after all loads of the benchmark (176), and half of those lists.

use tikv_jemallocator::Jemalloc;

#[global_allocator]
static MEMORY: Jemalloc = Jemalloc;

/// What was freed goes back to the system after a second, by a thread that answers no requests.
const OPTIONS: &[u8] = b"background_thread:true,dirty_decay_ms:1000,muzzy_decay_ms:0\0";

/// As jemalloc(3) has it, a pointer to a C string.
#[expect(unsafe_code, reason = "jemalloc looks for a symbol of this name")]
#[unsafe(export_name = "malloc_conf")]
static CONF: Option<&u8> = OPTIONS.first();
