//! The SQL connector: its configuration, and with LOCUM_TEST_CORE_DB_URL and LOCUM_TEST_POSTGRES_URL real procedures on real servers.

mod bank;
mod broken;
mod configuration;
mod posting;

#[path = "../../../sql/tests/support/given.rs"]
mod given;
