//! The service in process, with its engine and hosts that speak the real agent protocol, on SQLite and
//! (when `HANOK_TEST_POSTGRES` holds a URL) on PostgreSQL.

mod again;
mod api;
mod bodies;
mod captures;
mod consoles;
mod day;
mod fields;
mod files;
mod fleet;
mod hosts;
mod joining;
mod lifecycle;
mod metal;
mod metrics;
mod moves;
mod moves_api;
mod nics;
mod placement;
mod placing;
mod plans;
mod proxy;
mod quotas;
mod rebuilds;
mod scale;
mod shelves;
mod walk;
mod why;
mod world;
mod zeros;
