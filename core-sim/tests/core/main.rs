//! The core as its callers see it: a real process, real HTTP, SQLite and (with LOCUM_TEST_CORE_DB_URL) MariaDB.

mod books;
mod changes;
mod classes;
mod contract;
mod database;
mod faults;
mod support;
