//! The portal behind the real routers of the services, on SQLite always and on PostgreSQL when
//! `HANOK_TEST_POSTGRES` holds a URL.

mod logs;
mod operators;
mod sessions;
mod streams;
mod world;
