//! What an error of a SQL server proves about the transaction of the call that it ended.

use super::config::{ErrorCode, Server, TransactionOwner};

/// An error as the server told it. Its message is left out: servers put values into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ServerError {
    /// SQLSTATE, five characters.
    pub(super) state: String,
    /// MariaDB's number.
    pub(super) number: Option<u16>,
}

impl std::fmt::Display for ServerError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.number {
            Some(number) => write!(f, "error {number} (SQLSTATE {})", self.state),
            None => write!(f, "SQLSTATE {}", self.state),
        }
    }
}

impl ErrorCode {
    pub(super) fn is(&self, error: &ServerError) -> bool {
        match self {
            Self::Number(number) => error.number == Some(*number),
            Self::State(state) => error.state == *state,
        }
    }

    /// As it stands in the configuration, and so in `refusals`.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::State(state) => state.clone(),
        }
    }
}

/// How much a call tells about its transaction when it ends with an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) server: Server,
    pub(super) owner: TransactionOwner,
    /// It begins with SELECT: a function, which cannot commit.
    pub(super) is_function: bool,
}

impl Call {
    /// May it have committed before it was interrupted? Of a function, PostgreSQL alone is known to commit only what was not.
    fn may_have_committed(self) -> bool {
        self.owner == TransactionOwner::Procedure && !(self.is_function && self.server == Server::Postgresql)
    }
}

/// MariaDB: the server went away under the call, the commit itself failed half-way, or only the connection is meant.
const MARIADB_SAYS_NOTHING: &[u16] = &[1053, 1152, 1153, 1156, 1157, 1158, 1159, 1160, 1161, 1180, 1181, 1184, 1927];
/// MariaDB: the statement was interrupted, by a person or by its time.
const MARIADB_INTERRUPTED: &[u16] = &[1317, 1969, 3024];
/// PostgreSQL: classes of a lost connection, a server that ends, a broken system, and a broken core of PostgreSQL.
const POSTGRESQL_SAYS_NOTHING: &[&str] = &["08", "57P", "58", "F0", "XX", "40003"];
/// PostgreSQL: the statement was cancelled, by a person or by its time.
const POSTGRESQL_INTERRUPTED: &str = "57014";
/// SQLSTATE of every MariaDB error that has none of its own.
const CATCH_ALL: &str = "HY000";

/// Why an error cannot be declared to mean anything; `None` where it can.
pub(super) fn why_not(code: &ErrorCode, call: Call) -> Option<String> {
    let interrupted = "interrupts a call that may have committed before; its outcome is unknown. With `transaction: connector` \
                       it may be declared, since nothing is committed then";
    let nothing = "says that the server or the connection ended, and nothing about the transaction; leave it out";
    match (call.server, code) {
        (Server::Mariadb, ErrorCode::Number(number)) if MARIADB_SAYS_NOTHING.contains(number) => Some(nothing),
        (Server::Mariadb, ErrorCode::Number(2000..=2999)) => Some("is a client's error, which no server answers"),
        (Server::Mariadb, ErrorCode::Number(number)) if MARIADB_INTERRUPTED.contains(number) => {
            call.may_have_committed().then_some(interrupted)
        }
        (Server::Mariadb, ErrorCode::Number(_)) => None,
        (Server::Postgresql, ErrorCode::Number(_)) => Some("must be a SQLSTATE in quotes, such as \"40001\""),
        (_, ErrorCode::State(state)) if !is_state(state) => {
            Some("is not a SQLSTATE: five digits and upper-case letters")
        }
        (Server::Mariadb, ErrorCode::State(state)) if state == CATCH_ALL => {
            Some("is what most errors of MariaDB have; name the error's number")
        }
        (Server::Mariadb, ErrorCode::State(state)) if state.starts_with("08") => Some(nothing),
        (Server::Mariadb, ErrorCode::State(state)) if state == "70100" => {
            call.may_have_committed().then_some(interrupted)
        }
        (Server::Postgresql, ErrorCode::State(state)) if state == POSTGRESQL_INTERRUPTED => {
            call.may_have_committed().then_some(interrupted)
        }
        (Server::Postgresql, ErrorCode::State(state))
            if POSTGRESQL_SAYS_NOTHING.iter().any(|class| state.starts_with(class)) =>
        {
            Some(nothing)
        }
        (_, ErrorCode::State(_)) => None,
    }
    .map(str::to_owned)
}

/// Does this error, answered to our own COMMIT, prove that nothing was committed? PostgreSQL checks deferred constraints and serializable
/// transactions before it commits. On MariaDB only a cluster's conflict does.
pub(super) fn undoes_commit(error: &ServerError, server: Server) -> bool {
    match server {
        Server::Mariadb => error.number == Some(1213),
        Server::Postgresql => {
            (error.state.starts_with("40") && error.state != "40003") || error.state.starts_with("23")
        }
    }
}

/// Does this error, answered where our transaction was to end, say that it was not ours any more? MariaDB has then not found the savepoint with
/// which ours began.
pub(super) fn ended_before(error: &ServerError, server: Server) -> bool {
    server == Server::Mariadb && error.number == Some(1305)
}

fn is_state(text: &str) -> bool {
    text.len() == 5 && text.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(server: Server, owner: TransactionOwner, is_function: bool) -> Call {
        Call { server, owner, is_function }
    }

    #[test]
    fn an_interrupted_call_that_may_have_committed_is_never_declared() {
        use Server::{Mariadb, Postgresql};
        use TransactionOwner::{Connector, Procedure};
        for (code, server) in [
            (ErrorCode::Number(1969), Mariadb),
            (ErrorCode::Number(1317), Mariadb),
            (ErrorCode::State("70100".into()), Mariadb),
            (ErrorCode::State("57014".into()), Postgresql),
        ] {
            assert!(why_not(&code, call(server, Procedure, false)).is_some(), "{code:?}");
            assert_eq!(why_not(&code, call(server, Connector, false)), None, "{code:?}");
        }
        assert_eq!(why_not(&ErrorCode::State("57014".into()), call(Postgresql, Procedure, true)), None);
        assert!(why_not(&ErrorCode::Number(1969), call(Mariadb, Procedure, true)).is_some());
    }

    #[test]
    fn errors_that_say_nothing_of_the_transaction_are_never_declared() {
        for owner in [TransactionOwner::Connector, TransactionOwner::Procedure] {
            for state in ["08006", "57P01", "58030", "XX000", "40003", "abc", "4000"] {
                assert!(why_not(&ErrorCode::State(state.into()), call(Server::Postgresql, owner, true)).is_some());
            }
            assert!(why_not(&ErrorCode::Number(1213), call(Server::Postgresql, owner, true)).is_some());
            for number in [1053, 1180, 1927, 2006, 2013] {
                assert!(why_not(&ErrorCode::Number(number), call(Server::Mariadb, owner, true)).is_some());
            }
            for state in ["HY000", "08S01"] {
                assert!(why_not(&ErrorCode::State(state.into()), call(Server::Mariadb, owner, true)).is_some());
            }
        }
    }

    #[test]
    fn a_lock_a_deadlock_and_a_conflict_may_be_declared() {
        for owner in [TransactionOwner::Connector, TransactionOwner::Procedure] {
            for number in [1205, 1213, 1020, 1062, 1644] {
                assert_eq!(why_not(&ErrorCode::Number(number), call(Server::Mariadb, owner, false)), None);
            }
            for state in ["40001", "40P01", "55P03", "23505", "LC001"] {
                assert_eq!(why_not(&ErrorCode::State(state.into()), call(Server::Postgresql, owner, false)), None);
            }
        }
    }
}
