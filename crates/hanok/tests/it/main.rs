//! The one integration binary: it runs the real program and talks to it as its users do.
//!
//! `dev_*` runs over simulated hosts and needs no root; `up_*` has real guests under QEMU. What makes a
//! world and takes it away again is in `world`, and in `room` if it has several hosts; the rest of the tools are `api`
//! (direct calls), `client` (the unmodified one), `guest` (ssh and what is typed in guests), `nfs` (a file server), `leaks` (what is left in the
//! machine), `clock` (clocks that jump) and `wait`.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a failed test should panic and say why"
)]

mod api;
mod bmc;
mod client;
mod clock;
mod dev_auth;
mod dev_bad_input;
mod dev_chaos;
mod dev_client;
mod dev_clients;
mod dev_crash;
mod dev_failover;
mod dev_full_disk;
mod dev_image;
mod dev_machines;
mod dev_move;
mod dev_network;
mod dev_portal;
mod dev_postgres;
mod dev_regions;
mod dev_start;
mod guest;
mod http;
mod ipmi_log;
mod leaks;
mod nfs;
mod peer;
mod postgres;
mod proxy;
mod random;
mod room;
mod serial;
mod talk;
mod up_bmc;
mod up_chaos;
mod up_cloud;
mod up_console;
mod up_day;
mod up_debian;
mod up_faults;
mod up_lay;
mod up_life;
mod up_live;
mod up_metal;
mod up_moves;
mod up_parts;
mod up_portal;
mod up_restart;
mod up_room;
mod up_traffic;
mod up_tutorial;
mod up_upgrade;
mod wait;
mod wire;
mod world;
