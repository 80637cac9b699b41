//! The journal on real engines: SQLite in a file always, and every server in `LOCUM_TEST_SQL_URLS` (comma separated,
//! `mysql://user:pass@host:port`, without a database). Each test gets a database of its own on each engine and ends with
//! [`checker::assert_consistent`].

// The name by which the rest of the workspace knows it.
extern crate locum_standin as standin;

#[path = "journal/support.rs"]
#[macro_use]
mod support;
#[path = "journal/accounts.rs"]
mod accounts;
#[path = "journal/admission.rs"]
mod admission;
#[path = "journal/approvals.rs"]
mod approvals;
#[path = "journal/archive.rs"]
mod archive;
#[path = "journal/archive_killed.rs"]
mod archive_killed;
#[path = "journal/awaited.rs"]
mod awaited;
#[path = "journal/checker.rs"]
mod checker;
#[path = "journal/claims.rs"]
mod claims;
#[path = "journal/confirmation.rs"]
mod confirmation;
#[path = "journal/contradictions.rs"]
mod contradictions;
#[path = "journal/controls.rs"]
mod controls;
#[path = "journal/credits.rs"]
mod credits;
#[path = "journal/databases.rs"]
mod databases;
#[path = "journal/faults.rs"]
mod faults;
#[path = "journal/funds.rs"]
mod funds;
#[path = "journal/global_order.rs"]
mod global_order;
#[path = "journal/instances.rs"]
mod instances;
#[path = "journal/ledger.rs"]
mod ledger;
#[path = "journal/orders.rs"]
mod orders;
#[path = "journal/outcomes.rs"]
mod outcomes;
#[path = "journal/places.rs"]
mod places;
#[path = "journal/pressure.rs"]
mod pressure;
#[path = "journal/proxy.rs"]
mod proxy;
#[path = "journal/references.rs"]
mod references;
#[path = "journal/refusals.rs"]
mod refusals;
#[path = "journal/runs.rs"]
mod runs;
#[path = "journal/statements.rs"]
mod statements;
#[path = "journal/time.rs"]
mod time;
#[path = "journal/turns.rs"]
mod turns;
#[path = "journal/waiting.rs"]
mod waiting;
