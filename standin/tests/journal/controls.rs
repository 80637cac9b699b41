//! Limits, mode and pause, live and audited.

use schemas::entry::EntryState::*;
use schemas::money::Currency;
use sql::params;
use standin::admission::AccountStatus;
use standin::journal::{Filter, JournalError, ModeOrder, Transfer, Write};
use standin::rules::{OperationRules, Reason, Rules};

use crate::support::*;

on_every_engine! {
    async fn a_live_change_of_the_limits_binds_the_next_admission_of_every_instance_and_is_audited(bank) {
        bank.two_accounts().await;
        let other = bank.another("gateway-2").await;
        let edited = limits().with(eur(), 1_000, 2_000_000);
        assert!(bank.journal.seed_limits(&edited, None).await.unwrap(), "an edited configuration counts at the next start");
        let (in_force, version) = bank.journal.operators().limits().await.unwrap();
        assert_eq!(in_force, edited);
        assert_eq!(other.admit(transfer("a", "b", 1_001)).await.state, Declined);
        let tighter = limits().with(eur(), 10, 2_000_000);
        bank.journal.operators().set_limits("olga", &tighter, None, "fraud wave").await.unwrap();
        assert!(!other.journal.seed_limits(&limits(), None).await.unwrap(), "what a person set stays");
        let stale = bank.journal.operators().set_limits("otto", &limits(), Some(version), "too late").await;
        assert!(matches!(stale, Err(JournalError::Changed)), "{stale:?}");
        let declined = other.admit(transfer("a", "b", 11)).await;
        assert_eq!(declined.reason.as_deref(), Some(Reason::LimitExceeded.code()));
        let trail = bank.journal.operators().audit_trail(10).await.unwrap();
        assert_eq!(trail.len(), 1, "a seed is no human action");
        assert_eq!((trail[0].actor.as_str(), trail[0].action.as_str()), ("olga", "limits.set"));
        assert_eq!(trail[0].detail["why"], "fraud wave");
        assert_eq!(trail[0].detail["to"]["currencies"]["EUR"]["per_transfer_minor"], 10);
    }

    async fn limits_are_each_currencys_own_and_one_without_is_refused(bank) {
        for (account, currency) in [("y1", "JPY"), ("y2", "JPY"), ("u1", "USD"), ("u2", "USD")] {
            bank.account(account, 10_000_000).await;
            bank.db.exec("UPDATE books SET currency = ? WHERE account = ?", params![currency, account]).await.unwrap();
        }
        let yen = Currency::parse("JPY").unwrap();
        bank.journal.operators().set_limits("op", &limits().with(yen, 50, 60), None, "test").await.unwrap();
        let of = |code: &str, write: Write| {
            let command = Transfer { currency: Currency::parse(code).unwrap(), ..write.command.clone() };
            Write { command, ..write }
        };
        for (write, reason) in [
            (of("JPY", transfer("y1", "y2", 51)), Some(Reason::LimitExceeded)),
            (of("JPY", transfer("y1", "y2", 50).away()), None),
            (of("JPY", transfer("y1", "y2", 11).away()), Some(Reason::DailyLimitExceeded)),
            (of("USD", transfer("u1", "u2", 1)), Some(Reason::NoLimitForCurrency)),
            (of("USD", transfer("u1", "u2", 1).away()), Some(Reason::NoLimitForCurrency)),
        ] {
            assert_eq!(bank.admit(write).await.reason.as_deref(), reason.map(Reason::code));
        }
    }

    async fn limits_set_live_before_there_were_currencies_are_replaced_only_where_a_person_says_so(bank) {
        let outdated = r#"{"per_transfer_minor":500,"per_day_minor":900,"per_day_count":9,"age_bands":[]}"#;
        let forget = "DELETE FROM controls WHERE name = 'limits-by-currency'";
        let keep = "INSERT INTO controls (name, value, version) VALUES ('limits', ?, ?)";
        bank.db.exec(forget, vec![]).await.unwrap();
        bank.db.exec(keep, params![outdated.as_bytes().to_vec(), 1]).await.unwrap();
        assert!(bank.journal.seed_limits(&limits(), None).await.unwrap(), "nobody had set them live");
        bank.db.exec(forget, vec![]).await.unwrap();
        bank.db.exec("UPDATE controls SET version = 7 WHERE name = 'limits'", vec![]).await.unwrap();
        for wrong in [None, Some(6)] {
            let refused = bank.journal.seed_limits(&limits(), wrong).await.unwrap_err().to_string();
            assert!(refused.contains("500") && refused.contains("limits.supersede_version: 7"), "{refused}");
        }
        assert_eq!(bank.number("SELECT COUNT(*) AS n FROM entries").await, 0);
        bank.two_accounts().await;
        assert_eq!(bank.admit(transfer("a", "b", 1)).await.reason.as_deref(), Some(Reason::NoLimitForCurrency.code()));
        assert!(bank.journal.seed_limits(&limits(), Some(7)).await.unwrap());
        assert_eq!(bank.admit(transfer("a", "b", 501)).await.state, Submitting);
        let trail = bank.journal.operators().audit_trail(10).await.unwrap();
        assert_eq!((trail.len(), trail[0].action.as_str()), (1, "limits.supersede"));
        assert_eq!(trail[0].detail["from"]["per_transfer_minor"], 500);
    }

    async fn rules_of_the_configuration_say_which_states_are_touched_on_which_path(bank) {
        bank.two_accounts().await;
        bank.account("c", 10).await;
        bank.db.exec("UPDATE books SET standing = 'frozen' WHERE account = 'b'", vec![]).await.unwrap();
        let frozen = Some(Reason::AccountFrozen.code());
        assert_eq!(bank.admit(transfer("a", "b", 1).away()).await.reason.as_deref(), frozen);
        let mut rules = OperationRules::default();
        rules.stand_in.credit.push(AccountStatus::Frozen);
        rules.direct.debit = vec![AccountStatus::Active];
        bank.journal.seed_rules(&Rules::from_iter([("transfer".to_owned(), rules)])).await.unwrap();
        assert_eq!(bank.admit(transfer("b", "c", 1)).await.reason.as_deref(), frozen);
        assert_eq!(bank.admit(transfer("a", "b", 1).away()).await.state, Queued);
        bank.journal.seed_rules(&Rules::default()).await.unwrap();
        assert_eq!(bank.admit(transfer("a", "b", 1).away()).await.reason.as_deref(), frozen);
    }

    async fn mode_orders_and_the_pause_are_kept_and_audited(bank) {
        assert_eq!(bank.journal.operators().mode_order().await.unwrap(), ModeOrder::Auto);
        for order in [ModeOrder::StandIn, ModeOrder::Normal, ModeOrder::Auto] {
            bank.journal.operators().order_mode("olga", order, "drill").await.unwrap();
            assert_eq!(bank.journal.operators().mode_order().await.unwrap(), order);
        }
        assert!(!bank.journal.operators().replay_paused().await.unwrap());
        bank.journal.operators().pause_replay("olga", true, "core is busy").await.unwrap();
        assert!(bank.journal.operators().replay_paused().await.unwrap());
        let actions: Vec<String> = bank.journal.operators().audit_trail(10).await.unwrap().into_iter().map(|a| a.action).collect();
        assert_eq!(actions, ["replay.set", "mode.set", "mode.set", "mode.set"]);
    }

    async fn operators_find_entries_by_state_account_and_page(bank) {
        bank.two_accounts().await;
        bank.account("c", 10).await;
        let mut entries = Vec::new();
        for _ in 0..5 {
            entries.push(kept(&bank.queued("a", "b", 1).await));
        }
        let other = kept(&bank.queued("c", "b", 1).await);
        let list = async |filter: Filter| bank.journal.operators().list(&filter).await.unwrap();
        let of_a = Filter { account: Some("a".into()), limit: 2, ..Filter::default() };
        let page = list(of_a.clone()).await;
        assert_eq!(page, entries[..2]);
        assert_eq!(list(Filter { after: Some(page[1].id.clone()), limit: 9, ..of_a }).await, entries[2..]);
        // The two accounts are of different shards, and the order is that of time.
        assert_ne!(entries[0].id.as_str()[..1], other.id.as_str()[..1]);
        for states in [vec![Queued], vec![Queued, Parked], vec![]] {
            let queued = Filter { states, limit: 4, ..Filter::default() };
            let page = list(queued.clone()).await;
            assert_eq!(page, entries[..4]);
            let rest = list(Filter { after: Some(page[3].id.clone()), ..queued }).await;
            assert_eq!(rest, [entries[4].clone(), other.clone()]);
        }
        let backlog = bank.journal.operators().backlog().await.unwrap();
        assert_eq!((backlog.by_state[&Queued], backlog.open(), backlog.breaks), (6, 6, 0));
        assert_eq!(bank.state(&other).await, Queued);
        assert!(bank.journal.holds().against(&[]).await.unwrap().is_empty());
        let detail = bank.journal.operators().detail(&other.id).await.unwrap().unwrap();
        assert_eq!((detail.entry, detail.transitions.len()), (other.clone(), 1));
        let by_key = bank.journal.gateway().get_by_key("anna", "transfer", &other.idempotency_key).await.unwrap();
        assert_eq!(by_key, Some(other));
    }
}
