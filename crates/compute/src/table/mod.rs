//! SQL of the service, one noun a file. Functions take a transaction and compose.

pub mod action;
pub mod flavor;
pub mod guest;
pub mod host;
pub mod keypair;
pub mod server;
pub mod server_list;
