//! Locum against real parts: Kafka, Connect with Debezium, MariaDB as the core's database, Redis, and MariaDB or OceanBase
//! for journal and read model. `dev/stack up all` first; the binaries `locum` (with the feature `failpoints`) and `core-sim`
//! lie in the target folder or are named by LOCUM_BIN and CORE_SIM_BIN.

#![allow(clippy::inconsistent_digit_grouping, reason = "amounts are written as whole units _ cents")]

mod deciding;
mod drain;
mod examples;
mod faults;
mod journal;
mod killed;
mod outage;
mod people;
mod postgres;
mod reads;
mod rest;
mod transfers;
mod ways_out;
