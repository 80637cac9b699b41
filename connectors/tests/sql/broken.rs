//! Locks, kills, time-outs and answers that end in an error: what may be said then.

use std::sync::Arc;
use std::time::{Duration, Instant};

use locum_connectors::sql::{Server, TransactionOwner};
use locum_connectors::{CoreConnector, Probe};
use schemas::core::{Enquiry, Unsent};

use crate::bank::*;

use TransactionOwner::{Connector, Procedure};

const NOTHING: &str = "0";

/// Whatever was said before: sent again, it is posted, and it is posted once.
async fn posts_once(bank: &Bank, core: &impl CoreConnector, reference: &str) {
    assert_eq!(bank.books(reference).await.0, NOTHING);
    assert_eq!(core.enquire("transfer", reference, PATIENT).await, Enquiry::NotFound);
    let outcome = core.post(&transfer(reference), PATIENT).await;
    assert!(is_posted(&outcome), "{outcome:?}");
    assert_eq!(bank.books(reference).await, ("2".to_owned(), "89.50".to_owned()));
}

#[tokio::test]
async fn a_lock_that_lasts_too_long_is_not_done() {
    everywhere(|bank, owner| async move {
        let core = bank.core(owner);
        let lock = bank.lock().await;
        let outcome = core.post(&transfer("LC1"), PATIENT).await;
        assert!(is_unsent(&outcome, Unsent::NotDone), "{owner:?}: {outcome:?}");
        lock.release().await;
        assert_eq!(core.idle_sessions(), 1, "the session was rolled back and kept");
        posts_once(&bank, &core, "LC1").await;
    })
    .await;
}

/// The server's own time for a statement is over before ours is.
#[tokio::test]
async fn a_statement_that_the_server_ends_is_not_done_where_nothing_can_have_been_committed() {
    everywhere(|bank, owner| async move {
        let core = bank.patient_core(owner);
        let lock = bank.lock().await;
        let outcome = core.post(&transfer("LC1"), Duration::from_secs(2)).await;
        match (bank.server, owner) {
            (Server::Mariadb, Procedure) => assert!(is_unknown(&outcome), "{outcome:?}"),
            _ => assert!(is_unsent(&outcome, Unsent::NotDone), "{owner:?}: {outcome:?}"),
        }
        lock.release().await;
        posts_once(&bank, &core, "LC1").await;
    })
    .await;
}

#[tokio::test]
async fn a_session_killed_under_the_call_is_unknown_unless_the_commit_is_ours() {
    everywhere(|bank, owner| async move {
        let core = bank.patient_core(owner);
        let lock = bank.lock().await;
        let request = transfer("LC1");
        let kill = async {
            let session = bank.waiting_session().await;
            bank.kill(&session).await;
        };
        let (outcome, ()) = tokio::join!(core.post(&request, PATIENT), kill);
        match owner {
            Procedure => assert!(is_unknown(&outcome), "{outcome:?}"),
            Connector => {
                let undone = is_unsent(&outcome, Unsent::ConnectionLost) || is_unsent(&outcome, Unsent::NotDone);
                assert!(undone, "{outcome:?}");
            }
        }
        lock.release().await;
        posts_once(&bank, &core, "LC1").await;
    })
    .await;
}

#[tokio::test]
async fn a_caller_that_goes_away_does_not_cut_a_call_short() {
    everywhere(|bank, owner| async move {
        let core = Arc::new(bank.patient_core(owner));
        let lock = bank.lock().await;
        let caller = tokio::spawn({
            let core = core.clone();
            async move { core.post(&transfer("LC1"), PATIENT).await }
        });
        bank.waiting_session().await;
        caller.abort();
        lock.release().await;
        let deadline = Instant::now() + PATIENT;
        while bank.books("LC1").await.0 != "2" {
            assert!(Instant::now() < deadline, "it was cut short");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_probe_does_not_wait_for_the_places_that_postings_have() {
    everywhere(|bank, owner| async move {
        let yaml = changed(&bank.yaml(owner), "limits: {", "limits: {connections-max: 1, ");
        let yaml = changed(&yaml, "lock-wait-ms-max: 1000", "lock-wait-ms-max: 4000");
        let core = Arc::new(build(&yaml));
        let lock = bank.lock().await;
        let first = tokio::spawn({
            let core = core.clone();
            async move { core.post(&transfer("LC1"), PATIENT).await }
        });
        bank.waiting_session().await;
        let second = core.post(&transfer("LC2"), Duration::from_millis(300)).await;
        assert!(is_unsent(&second, Unsent::NotTried), "{second:?}");
        assert_eq!(core.probe(PATIENT).await, Probe::Up);
        lock.release().await;
        assert!(is_posted(&first.await.unwrap()));
    })
    .await;
}

#[tokio::test]
async fn a_silent_session_is_ended_by_the_server_and_replaced() {
    everywhere(|bank, owner| async move {
        let core = build(&changed(&bank.yaml(owner), "idle-ms-max: 10000", "idle-ms-max: 1000"));
        assert_eq!(core.probe(PATIENT).await, Probe::Up);
        let deadline = Instant::now() + PATIENT;
        while bank.sessions().await != NOTHING {
            assert!(Instant::now() < deadline, "the server does not end a silent session");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        posts_once(&bank, &core, "LC1").await;
    })
    .await;
}

#[tokio::test]
async fn a_core_that_is_not_there_was_sent_nothing() {
    everywhere(|bank, owner| async move {
        let mut config = config(&bank.yaml(owner));
        config.url =
            format!("{}://127.0.0.1:1/nowhere", if bank.server == Server::Mariadb { "mysql" } else { "postgresql" });
        let core = locum_connectors::sql::SqlCore::build(config).unwrap();
        let outcome = core.post(&transfer("LC1"), PATIENT).await;
        assert!(is_unsent(&outcome, Unsent::CoreAway), "{outcome:?}");
        assert!(matches!(core.probe(PATIENT).await, Probe::Down { .. }));
        assert!(matches!(core.enquire("transfer", "LC1", PATIENT).await, Enquiry::Unavailable { .. }));
    })
    .await;
}

#[tokio::test]
async fn a_password_that_the_server_does_not_take_is_never_shown() {
    on(Server::Mariadb, |bank| async move {
        let file = std::env::temp_dir().join(format!("locum-sql-password-{}", std::process::id()));
        std::fs::write(&file, "CANARY\n").unwrap();
        let yaml = bank.yaml(Connector);
        let yaml = changed(&yaml, "credentials: {", &format!("credentials: {{password-file: '{}', ", file.display()));
        let outcome = build(&yaml).post(&transfer("LC1"), PATIENT).await;
        assert!(is_unsent(&outcome, Unsent::ConnectionLost), "the server is there: {outcome:?}");
        let shown = format!("{outcome:?}");
        assert!(shown.contains("1045") && !shown.contains("CANARY"), "{shown}");
        std::fs::remove_file(&file).unwrap();
    })
    .await;
}

/// In autocommit the rows are there before the commit, which then fails.
#[tokio::test]
async fn an_error_after_the_rows_is_no_posting() {
    on(Server::Postgresql, |bank| async move {
        bank.hand().await.exec(&at_commit("RAISE EXCEPTION USING ERRCODE = '40001'")).await;
        for owner in [Connector, Procedure] {
            let outcome = bank.core(owner).post(&transfer("LC1"), PATIENT).await;
            assert!(is_unsent(&outcome, Unsent::NotDone), "{owner:?}: {outcome:?}");
            assert_eq!(bank.books("LC1").await.0, NOTHING);
        }
    })
    .await;
    on(Server::Mariadb, |bank| async move {
        bank.hand().await.exec(FAILS_AFTER_ITS_ROW).await;
        for owner in [Connector, Procedure] {
            let name = if owner == Connector { "post_transfer(" } else { "post_transfer_and_commit(" };
            let core = build(&changed(&bank.yaml(owner), name, "post_and_fail("));
            let outcome = core.post(&transfer("LC1"), PATIENT).await;
            match owner {
                Connector => assert!(is_unsent(&outcome, Unsent::NotDone), "{outcome:?}"),
                Procedure => assert!(is_unknown(&outcome), "{outcome:?}"),
            }
        }
    })
    .await;
}

/// The plan of a statement that a session has prepared does not hold any more once a column has another type.
#[tokio::test]
async fn a_session_whose_statement_does_not_hold_any_more_is_replaced() {
    on(Server::Postgresql, |bank| async move {
        let core = bank.core(Connector);
        assert_eq!(core.probe(PATIENT).await, Probe::Up);
        assert_eq!(core.idle_sessions(), 1);
        bank.hand().await.exec("ALTER TABLE core_state ALTER COLUMN state TYPE varchar(10)").await;
        // The session that has prepared it may fail, once.
        core.probe(PATIENT).await;
        assert_eq!(core.probe(PATIENT).await, Probe::Up);
    })
    .await;
}

#[tokio::test]
async fn a_session_killed_under_our_commit_is_unknown() {
    on(Server::Postgresql, |bank| async move {
        bank.hand().await.exec(&at_commit("PERFORM pg_sleep(3)")).await;
        let (core, request) = (bank.core(Connector), transfer("LC1"));
        let kill = async {
            let session = bank.session_at("COMMIT").await;
            bank.kill(&session).await;
        };
        let (outcome, ()) = tokio::join!(core.post(&request, PATIENT), kill);
        assert!(is_unknown(&outcome), "{outcome:?}");
    })
    .await;
}

#[tokio::test]
async fn a_procedure_that_commits_in_our_transaction_is_found_out() {
    on(Server::Mariadb, |bank| async move {
        let yaml = changed(&bank.yaml(Connector), "CALL post_transfer(", "CALL post_transfer_and_commit(");
        let outcome = build(&yaml).post(&transfer("LC1"), PATIENT).await;
        assert!(is_unknown(&outcome) && format!("{outcome:?}").contains("ended our transaction"), "{outcome:?}");
        assert_eq!(bank.books("LC1").await.0, "2");
    })
    .await;
}

#[tokio::test]
async fn a_procedure_that_commits_in_our_transaction_is_found_out_though_its_answer_cannot_be_read() {
    on(Server::Mariadb, |bank| async move {
        bank.hand().await.exec(&procedure("post_and_say_a_time", "COMMIT; SELECT NOW(6) AS outcome;")).await;
        let yaml = changed(&bank.yaml(Connector), "CALL post_transfer(", "CALL post_and_say_a_time(");
        let outcome = build(&yaml).post(&transfer("LC1"), PATIENT).await;
        assert!(is_unknown(&outcome), "{outcome:?}");
    })
    .await;
}

/// After the COMMIT it begins anew, so that the server's status shows a transaction, as if it were ours.
#[tokio::test]
async fn a_procedure_that_commits_and_begins_anew_in_our_transaction_is_found_out() {
    on(Server::Mariadb, |bank| async move {
        let call =
            "CALL post_transfer(p_reference, p_debit, p_credit, p_amount, p_ccy, p_text, p_accepted_at, p_value_date);";
        for (name, end) in
            [("begin_anew", ""), ("begin_anew_and_fail", "SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'CANARY';")]
        {
            let body = format!("{call} COMMIT; START TRANSACTION; {end}");
            bank.hand().await.exec(&procedure(name, &body)).await;
            let core = build(&changed(&bank.yaml(Connector), "CALL post_transfer(", &format!("CALL {name}(")));
            let outcome = core.post(&transfer(name), PATIENT).await;
            assert!(is_unknown(&outcome) && format!("{outcome:?}").contains("ended our transaction"), "{outcome:?}");
            assert_eq!((bank.books(name).await.0.as_str(), core.idle_sessions()), ("2", 0));
        }
    })
    .await;
}

#[tokio::test]
async fn a_procedure_that_leaves_its_transaction_open_is_found_out() {
    on(Server::Mariadb, |bank| async move {
        let call = "START TRANSACTION; CALL post_transfer(p_reference, p_debit, p_credit, p_amount, p_ccy, p_text, p_accepted_at, p_value_date);";
        bank.hand().await.exec(&procedure("post_and_leave_open", call)).await;
        let core = build(&changed(&bank.yaml(Procedure), "post_transfer_and_commit(", "post_and_leave_open("));
        let outcome = core.post(&transfer("LC1"), PATIENT).await;
        assert!(is_unknown(&outcome) && format!("{outcome:?}").contains("left a transaction open"), "{outcome:?}");
        assert_eq!(core.idle_sessions(), 0);
        posts_once(&bank, &bank.core(Procedure), "LC1").await;
    })
    .await;
}

/// A session is used again, by any operation.
#[tokio::test]
async fn a_procedure_that_turns_autocommit_off_leaves_the_next_call_as_it_was() {
    on(Server::Mariadb, |bank| async move {
        let call =
            "CALL post_transfer(p_reference, p_debit, p_credit, p_amount, p_ccy, p_text, p_accepted_at, p_value_date);";
        let body = format!("IF p_reference = 'LC1' THEN SET autocommit = 0; {call} COMMIT; ELSE {call} END IF;");
        bank.hand().await.exec(&procedure("post_by_itself", &body)).await;
        let core = build(&changed(&bank.yaml(Procedure), "post_transfer_and_commit(", "post_by_itself("));
        for reference in ["LC1", "LC2"] {
            let outcome = core.post(&transfer(reference), PATIENT).await;
            assert!(is_posted(&outcome), "{outcome:?}");
            assert_eq!((bank.books(reference).await.0.as_str(), core.idle_sessions()), ("2", 1));
        }
    })
    .await;
}

/// A procedure with the parameters of a transfer.
fn procedure(name: &str, body: &str) -> String {
    format!(
        "CREATE PROCEDURE {name}(
            p_reference VARCHAR(64), p_debit VARCHAR(12), p_credit VARCHAR(12), p_amount DECIMAL(15, 2), p_ccy CHAR(3),
            p_text VARCHAR(140), p_accepted_at DATETIME(6), p_value_date DATE
        ) BEGIN {body} END"
    )
}

/// Runs when a transaction with postings commits.
fn at_commit(statement: &str) -> String {
    format!(
        "CREATE FUNCTION at_commit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {statement}; RETURN NULL; END $$;
         CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT ON postings DEFERRABLE INITIALLY DEFERRED
         FOR EACH ROW WHEN (NEW.leg = 'D') EXECUTE FUNCTION at_commit()"
    )
}

const FAILS_AFTER_ITS_ROW: &str = "
    CREATE PROCEDURE post_and_fail(
        p_reference VARCHAR(64), p_debit VARCHAR(12), p_credit VARCHAR(12), p_amount DECIMAL(15, 2), p_ccy CHAR(3),
        p_text VARCHAR(140), p_accepted_at DATETIME(6), p_value_date DATE
    )
    BEGIN
        SELECT 'POSTED' AS outcome, NULL AS reason, p_reference AS reference, p_debit AS debit_account, 1 AS debit_no,
               p_credit AS credit_account, 1 AS credit_no, p_amount AS amount, p_ccy AS ccy;
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'CANARY';
    END";
