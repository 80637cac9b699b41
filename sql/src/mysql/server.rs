//! Which server answers, and what each session on it sets before its first use.

use crate::dialect::Dialect;
use crate::options::Options;

/// Which server answers. Servers differ in the names of their time limits and in what their clock is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Server {
    OceanBase,
    TiDb,
    MariaDb,
    /// MySQL, and every server that claims to be MySQL.
    Classic,
}

/// Asks for the text that [`Server::of`] judges.
pub(crate) const VERSION: &str = "SELECT CONCAT(VERSION(), ' ', @@version_comment)";

/// Answers to a `SET` that mean: this version of the server has no such variable, or none in a session.
pub(crate) const NO_SUCH_VARIABLE: [u16; 3] = [1193, 1229, 1238];

impl Server {
    /// Decides by the answer to [`VERSION`]. An operator can hide TiDB's name in the version, not in the comment.
    pub(crate) fn of(version: &str) -> Server {
        match version {
            v if v.contains("OceanBase") || v.contains("seekdb") => Server::OceanBase,
            v if v.contains("TiDB") => Server::TiDb,
            v if v.contains("MariaDB") => Server::MariaDb,
            _ => Server::Classic,
        }
    }

    /// The server's clock: milliseconds since 1970, as an integer expression.
    ///
    /// `NOW()` on TiDB is the clock of the node that the connection reached, so two connections may disagree. The timestamp
    /// of a transaction comes from the cluster's one clock (PD), which never goes back; its upper bits are milliseconds. It
    /// stands at the beginning of the transaction, and exists only inside one: see [`Server::clock_needs_a_transaction`].
    pub(crate) fn now_ms(self) -> &'static str {
        match self {
            Server::TiDb => "CAST(CAST(@@tidb_current_ts AS UNSIGNED) >> 18 AS SIGNED)",
            Server::OceanBase | Server::MariaDb | Server::Classic => Dialect::MySql.now_ms(),
        }
    }

    /// Prepared statements kept per connection. Lists have few lengths (`lists::filled`): journal and read model together have about
    /// a hundred texts while they work. OceanBase allows a session 50 (`open_cursors`) and refuses the next one with code 5930.
    pub(crate) fn statements_cached(self) -> usize {
        match self {
            Server::OceanBase => 40,
            Server::TiDb | Server::MariaDb | Server::Classic => 128,
        }
    }

    /// True where a statement outside a transaction cannot read [`Server::now_ms`].
    pub(crate) fn clock_needs_a_transaction(self) -> bool {
        self == Server::TiDb
    }

    /// True where a single write runs in a transaction of its own. TiDB commits an autocommit write optimistically, so the
    /// write waits for a row lock for as long as the lock's owner may live (20 s), whatever the session's limit says.
    /// Inside a transaction it waits as long as all others, and afterwards it is known that nothing was kept.
    pub(crate) fn writes_need_a_transaction(self) -> bool {
        self == Server::TiDb
    }

    /// True where a plan is kept for a text with one choice of kinds of its parameters (null is one), and of the constants that filter or that
    /// are equal. OceanBase makes each other one anew, with a join of a derived table each time: 36 to 240 ms for 64 rows. So an update of many
    /// rows is a `CASE` for each column (6 ms once it was planned), and new rows come as lists of values, in a few sizes.
    pub(crate) fn plans_by_constants(self) -> bool {
        self == Server::OceanBase
    }

    /// True where another node may not know yet of a table, a column or an index that was just created.
    pub(crate) fn has_nodes_with_late_schema(self) -> bool {
        self == Server::TiDb
    }
}

/// What a session sets before its first use.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Statements that must succeed.
    pub(crate) required: Vec<String>,
    /// Assignments that are left out where the server's version does not know the variable.
    pub(crate) where_known: Vec<String>,
}

impl Settings {
    /// Strict mode: a value that does not fit is an error, never cut off.
    pub(crate) fn of(server: Server, options: &Options) -> Settings {
        let required = vec![
            "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED".into(),
            "SET NAMES utf8mb4 COLLATE utf8mb4_bin".into(),
            format!(
                "SET autocommit = 1, time_zone = '+00:00', \
                 sql_mode = 'STRICT_TRANS_TABLES,STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', {}",
                limits(server, options)
            ),
        ];
        Settings { required, where_known: guarantees(server, options) }
    }
}

/// How long the server waits for locks and for us.
fn limits(server: Server, options: &Options) -> String {
    let lock_wait_s = options.lock_wait.as_millis().div_ceil(1_000).max(1);
    let idle_s = idle_s(options);
    match server {
        Server::OceanBase => format!(
            // Its `ob_trx_idle_timeout` did not end an idle transaction within a minute.
            "ob_trx_lock_timeout = {}, ob_query_timeout = {}, ob_trx_timeout = {}",
            options.lock_wait.as_micros(),
            options.statement_timeout.as_micros(),
            idle_s * 3_000_000
        ),
        Server::TiDb => format!("innodb_lock_wait_timeout = {lock_wait_s}, tidb_txn_mode = 'pessimistic'"),
        Server::MariaDb => {
            format!("innodb_lock_wait_timeout = {lock_wait_s}, idle_transaction_timeout = {idle_s}")
        }
        Server::Classic => format!("innodb_lock_wait_timeout = {lock_wait_s}"),
    }
}

/// What our statements rely on and an operator or another tool may have changed for all sessions: a read sees what was
/// committed before it began, a lock is taken when the statement asks for it, a duplicate key is told at its statement.
fn guarantees(server: Server, options: &Options) -> Vec<String> {
    let fixed: &[&str] = match server {
        Server::TiDb => &[
            "tidb_lock_unchanged_keys = ON",
            "tidb_constraint_check_in_place_pessimistic = ON",
            "tidb_read_staleness = ''",
            "tidb_snapshot = ''",
            "tidb_enable_external_ts_read = OFF",
            "tidb_low_resolution_tso = OFF",
            "tidb_guarantee_linearizability = ON",
        ],
        Server::OceanBase => &["ob_read_consistency = 'STRONG'"],
        // Reads on a node of a Galera cluster wait until the node has what was committed on the others.
        Server::MariaDb => &["wsrep_sync_wait = 1"],
        Server::Classic => &[],
    };
    let idle = (server == Server::TiDb).then(|| format!("tidb_idle_transaction_timeout = {}", idle_s(options)));
    fixed.iter().map(|setting| (*setting).to_owned()).chain(idle).collect()
}

fn idle_s(options: &Options) -> u64 {
    options.idle_transaction_max.as_secs().max(1)
}

#[cfg(test)]
mod tests {
    use super::Server;

    #[test]
    fn a_server_is_known_by_its_version_or_its_comment() {
        for (version, server) in [
            (
                "8.0.11-TiDB-v8.4.0 TiDB Server (Apache License 2.0) Community Edition, MySQL 8.0 compatible",
                Server::TiDb,
            ),
            ("5.7.25-our-own-name TiDB Server (Apache License 2.0) Community Edition", Server::TiDb),
            ("5.7.25-OceanBase-v4.3.5 OceanBase_CE 4.3.5", Server::OceanBase),
            ("10.11.6-MariaDB-0+deb12u1 Debian 12", Server::MariaDb),
            ("8.0.36 MySQL Community Server - GPL", Server::Classic),
        ] {
            assert_eq!(Server::of(version), server, "{version}");
        }
    }
}
