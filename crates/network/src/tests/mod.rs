//! Tests of the Network service on both databases. PostgreSQL runs when `HANOK_TEST_POSTGRES` holds a
//! URL.

mod acls;
mod address_groups;
mod addresses;
mod bounds;
mod connected;
mod documents;
mod floating;
mod forwards;
mod groups;
mod homes;
mod lists;
mod networks;
mod planner;
mod pools;
mod ports;
mod qos;
mod quotas;
mod reach;
mod routers;
mod routes;
mod sharing;
mod topology;
mod touches;
mod vlans;
mod world;
