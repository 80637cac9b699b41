//! Who decides about an account: the core where it is there, our data in stand-in; and whose account it is, always.

use schemas::entry::EntryState::*;
use schemas::entry::Evidence;
use schemas::grant::Grant;
use sql::params;
use standin::admission::CoreBelief;
use standin::journal::{Admitted, Write};
use standin::rules::Reason;

use crate::support::*;

on_every_engine! {
    async fn an_account_that_is_not_theirs_consumes_no_key_and_creates_no_lane(bank) {
        bank.two_accounts().await;
        let foreign = Write { grant: Grant::customers(["bert"]), ..transfer("a", "b", 1).key("k") };
        assert_eq!(bank.submit(foreign).await, Admitted::NoSuchAccount);
        assert_eq!(bank.submit(transfer("nobody", "b", 1).key("k")).await, Admitted::NoSuchAccount);
        assert_eq!(bank.number("SELECT COUNT(*) AS n FROM lanes").await, 0);
        assert_eq!(bank.number("SELECT COUNT(*) AS n FROM entries").await, 0);
        bank.admit(transfer("a", "b", 1).key("k")).await;
    }

    async fn before_the_first_load_nothing_is_decided_no_key_consumed_and_no_lane_created(bank) {
        bank.two_accounts().await;
        bank.db.exec("UPDATE source SET loaded = 0", vec![]).await.unwrap();
        assert_eq!(bank.submit(transfer("a", "b", 1).key("k")).await, Admitted::NotLoaded);
        assert_eq!(bank.submit(transfer("nobody", "b", 1).key("l")).await, Admitted::NotLoaded);
        assert_eq!(bank.number("SELECT COUNT(*) AS n FROM entries").await, 0);
        assert_eq!(bank.number("SELECT COUNT(*) AS n FROM lanes").await, 0);
    }

    async fn with_the_core_there_it_decides_about_accounts_that_our_data_show_otherwise_or_not_at_all(bank) {
        bank.two_accounts().await;
        for (account, column, value) in
            [("frozen", "standing", "frozen"), ("closed", "standing", "closed"), ("dollars", "currency", "USD")]
        {
            bank.account(account, 10_000).await;
            let sql = format!("UPDATE books SET {column} = ? WHERE account = ?");
            bank.db.exec(&sql, params![value, account]).await.unwrap();
        }
        bank.account("unclear", 0).await;
        bank.db.exec("UPDATE books SET standing = 'unclear' WHERE account = 'unclear'", vec![]).await.unwrap();
        for (from, to) in [
            ("a", "opened-in-the-branch"),
            ("a", "frozen"),
            ("a", "closed"),
            ("a", "dollars"),
            ("a", "unclear"),
            ("frozen", "b"),
            ("closed", "b"),
            ("dollars", "b"),
        ] {
            bank.direct(from, to, 1).await;
        }
        assert_eq!(bank.available("a").await, 99_995, "each of them holds");
    }

    async fn with_the_core_there_and_others_before_it_a_write_that_our_data_do_not_allow_waits_for_the_core(bank) {
        bank.two_accounts().await;
        bank.account("c", 10).await;
        bank.account("unclear", 0).await;
        bank.db.exec("UPDATE books SET standing = 'unclear' WHERE account = 'unclear'", vec![]).await.unwrap();
        bank.queued("a", "c", 1).await;
        bank.db.exec("UPDATE books SET standing = 'frozen' WHERE account = 'b'", vec![]).await.unwrap();
        for to in ["opened-in-the-branch", "b", "unclear"] {
            let waits = bank.admit(transfer("a", to, 1)).await;
            assert_eq!((waits.state, waits.ordered), (Queued, false), "{to}");
            let asked = bank.promise(&waits, CoreBelief::Available).await;
            assert_eq!((asked.state, asked.ordered), (Queued, false), "{to}: nothing is promised");
        }
        let away = bank.admit(transfer("c", "b", 1).away()).await;
        assert_eq!(away.reason.as_deref(), Some(Reason::AccountFrozen.code()), "without the core our data decide");
    }

    async fn what_the_core_did_not_get_after_all_is_decided_by_our_data_only_while_it_is_away(bank) {
        bank.two_accounts().await;
        let entry = bank.direct("a", "opened-in-the-branch", 1).await;
        let declined = bank.core_away(&entry).await.entry;
        assert_eq!((declined.state, declined.reason.as_deref()), (Declined, Some(Reason::PayeeNotAvailable.code())));
        bank.account("frozen", 10).await;
        bank.db.exec("UPDATE books SET standing = 'frozen' WHERE account = 'frozen'", vec![]).await.unwrap();
        let entry = bank.direct("frozen", "b", 1).await;
        let declined = bank.core_away(&entry).await.entry;
        assert_eq!((declined.state, declined.reason.as_deref()), (Declined, Some(Reason::AccountFrozen.code())));
        // The core did not take it just now, or this gateway had no time left. The core is there and decides.
        for (from, to) in [("a", "opened-in-the-branch"), ("frozen", "b")] {
            let entry = bank.direct(from, to, 1).await;
            let waits = bank.first_attempt(&entry, Evidence::NotSent).await.entry;
            assert_eq!((waits.state, waits.ordered), (Queued, false), "{from} {to}");
        }
    }

    async fn an_account_to_debit_that_our_data_do_not_show_consumes_no_key_on_any_path(bank) {
        bank.two_accounts().await;
        for write in [transfer("opened-in-the-branch", "b", 1), transfer("opened-in-the-branch", "b", 1).away()] {
            let everybody = Write { grant: Grant::Any, ..write.clone() };
            assert_eq!(bank.submit(write).await, Admitted::NoSuchAccount);
            assert_eq!(bank.submit(everybody).await, Admitted::NoSuchAccount);
        }
        assert_eq!(bank.number("SELECT COUNT(*) AS n FROM entries").await, 0);
        assert_eq!(bank.number("SELECT COUNT(*) AS n FROM lanes").await, 0);
    }

    async fn of_a_strangers_account_a_decline_says_only_that_it_cannot_be_credited(bank) {
        bank.two_accounts().await;
        for (account, column, value) in
            [("frozen", "standing", "frozen"), ("closed", "standing", "closed"), ("dollars", "currency", "USD")]
        {
            bank.account(account, 0).await;
            let sql = format!("UPDATE books SET customer = 'bert', {column} = ? WHERE account = ?");
            bank.db.exec(&sql, params![value, account]).await.unwrap();
        }
        for to in ["nobody", "frozen", "closed", "dollars"] {
            let declined = bank.admit(transfer("a", to, 1).away()).await;
            assert_eq!(declined.reason.as_deref(), Some(Reason::PayeeNotAvailable.code()), "{to}");
        }
        bank.db.exec("UPDATE books SET customer = 'anna'", vec![]).await.unwrap();
        for (to, reason) in [
            ("nobody", Reason::PayeeNotAvailable),
            ("frozen", Reason::AccountFrozen),
            ("closed", Reason::AccountClosed),
            ("dollars", Reason::CurrencyMismatch),
        ] {
            let declined = bank.admit(transfer("a", to, 1).away()).await;
            assert_eq!(declined.reason.as_deref(), Some(reason.code()), "{to} is the principal's own, or is not at all");
        }
    }

    async fn an_account_in_doubt_is_too_old_for_stand_in_and_only_that_one(bank) {
        bank.two_accounts().await;
        bank.account("c", 10).await;
        bank.db.exec("UPDATE books SET in_doubt = 1 WHERE account = 'c'", vec![]).await.unwrap();
        let too_old = Some(Reason::DataTooOld.code());
        assert_eq!(bank.admit(transfer("c", "b", 1).away()).await.reason.as_deref(), too_old);
        assert_eq!(bank.admit(transfer("a", "c", 1).away()).await.reason.as_deref(), too_old);
        assert_eq!(bank.admit(transfer("a", "b", 1).away()).await.state, Queued);
        bank.account("d", 10).await;
        assert_eq!(bank.admit(transfer("c", "d", 1)).await.state, Submitting, "the core knows what we do not");
    }

    async fn one_account_of_which_nothing_is_known_leaves_its_neighbours_alone(bank) {
        bank.two_accounts().await;
        bank.account("c", 10).await;
        bank.db.exec("UPDATE books SET standing = 'unclear' WHERE account = 'c'", vec![]).await.unwrap();
        let mut tasks = tokio::task::JoinSet::new();
        for to in ["b", "c", "b", "nobody"] {
            let admissions = bank.admissions.clone();
            tasks.spawn(async move { (to, admissions.submit(transfer("a", to, 1).away()).await.unwrap()) });
        }
        for (to, admitted) in tasks.join_all().await {
            match to {
                "c" => assert_eq!(admitted, Admitted::NotLoaded),
                "nobody" => assert_eq!(fresh(admitted).reason.as_deref(), Some(Reason::PayeeNotAvailable.code())),
                _ => assert!(fresh(admitted).state.is_open()),
            }
        }
    }
}
