//! SQL of the service, one noun a file. Functions take a transaction and compose.

pub mod action;
pub mod aggregate;
pub mod capture;
pub mod file;
pub mod flavor;
pub mod fleet;
pub mod group;
pub mod guest;
pub mod hardware;
pub mod host;
pub mod intent;
pub mod join_token;
pub mod keypair;
pub mod migration;
pub mod moving;
pub mod nic_tag;
pub mod origin;
pub mod password;
pub mod reservation;
pub mod server;
pub mod server_list;
pub mod shelf;
pub mod user_quota;
