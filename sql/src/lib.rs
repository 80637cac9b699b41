//! The one place that knows SQL engines: MariaDB, MySQL, TiDB and OceanBase through the MySQL protocol, and SQLite embedded.
//! Journal and read models write each statement once, in the dialect those four share; see [`dialect`] for the rest.
//!
//! ```no_run
//! # use locum_sql as sql;
//! # async fn f() -> Result<(), sql::Error> {
//! let db = sql::Db::open("sqlite::memory:", sql::Options::default()).await?;
//! let n: i64 = db
//!     .transaction(move |tx| Box::pin(async move {
//!         let row = tx.query_one("SELECT next FROM lanes WHERE account = ? FOR UPDATE", sql::params!["a1"]).await?;
//!         row.get("next")
//!     }))
//!     .await?;
//! # Ok(()) }
//! ```
//! **A transaction never runs on a future that a caller can drop**, and after an error its connection is closed, not
//! pooled. **Affected rows are matched rows** on every engine, except for [`Upsert`].

mod again;
mod clock;
mod db;
pub mod dialect;
mod error;
mod host;
mod insert;
mod lists;
mod migrate;
mod mysql;
mod options;
mod record;
#[cfg(feature = "simulation")]
pub mod simulation;
mod sqlite;
mod tally;
mod turns;
mod upsert;
mod value;

pub use again::Again;
pub use clock::ClockShift;
pub use db::{BoxFuture, Capacity, Db, Tx};
pub use dialect::{Dialect, placeholders, rows};
pub use error::Error;
pub use host::{Host, Surroundings};
pub use insert::Insert;
pub use lists::{filled, listed, listed_rows};
pub use migrate::Migration;
pub use options::Options;
pub use tally::Tally;
pub use upsert::{BatchUpdate, Policy, Upsert};
pub use value::{FromValue, Row, Value};

/// `params![a, b]` is `vec![Value::from(a), Value::from(b)]`.
#[macro_export]
macro_rules! params {
    ($($value:expr),* $(,)?) => { vec![$($crate::Value::from($value)),*] };
}
