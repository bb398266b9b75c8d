//! Guests: QEMU processes and their disks.
