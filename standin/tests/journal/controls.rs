//! Limits, mode and pause, live and audited.

use schemas::entry::EntryState::*;
use standin::journal::{Filter, JournalError, ModeOrder};
use standin::rules::{Limits, Reason};

use crate::support::*;

on_every_engine! {
    async fn a_live_change_of_the_limits_binds_the_next_admission_of_every_instance_and_is_audited(bank) {
        bank.two_accounts().await;
        let other = bank.another("gateway-2").await;
        assert!(bank.journal.seed_limits(&Limits::default()).await.unwrap());
        let edited = Limits { per_transfer_minor: 1_000, ..Limits::default() };
        assert!(bank.journal.seed_limits(&edited).await.unwrap(), "an edited configuration counts at the next start");
        let (limits, version) = bank.journal.limits().await.unwrap();
        assert_eq!(limits.per_transfer_minor, 1_000);
        assert_eq!(other.admit(transfer("a", "b", 1_001)).await.state, Declined);
        let tighter = Limits { per_transfer_minor: 10, ..Limits::default() };
        bank.journal.set_limits("olga", &tighter, None, "fraud wave").await.unwrap();
        assert!(!other.journal.seed_limits(&Limits::default()).await.unwrap(), "what a person set stays");
        let stale = bank.journal.set_limits("otto", &Limits::default(), Some(version), "too late").await;
        assert!(matches!(stale, Err(JournalError::Changed)), "{stale:?}");
        let declined = other.admit(transfer("a", "b", 11)).await;
        assert_eq!(declined.reason.as_deref(), Some(Reason::LimitExceeded.code()));
        let trail = bank.journal.audit_trail(10).await.unwrap();
        assert_eq!(trail.len(), 1, "a seed is no human action");
        assert_eq!((trail[0].actor.as_str(), trail[0].action.as_str()), ("olga", "limits.set"));
        assert_eq!(trail[0].detail["why"], "fraud wave");
        assert_eq!(trail[0].detail["to"]["per_transfer_minor"], 10);
    }

    async fn mode_orders_and_the_pause_are_kept_and_audited(bank) {
        assert_eq!(bank.journal.mode_order().await.unwrap(), ModeOrder::Auto);
        for order in [ModeOrder::StandIn, ModeOrder::Normal, ModeOrder::Auto] {
            bank.journal.order_mode("olga", order, "drill").await.unwrap();
            assert_eq!(bank.journal.mode_order().await.unwrap(), order);
        }
        assert!(!bank.journal.replay_paused().await.unwrap());
        bank.journal.pause_replay("olga", true, "core is busy").await.unwrap();
        assert!(bank.journal.replay_paused().await.unwrap());
        let actions: Vec<String> = bank.journal.audit_trail(10).await.unwrap().into_iter().map(|a| a.action).collect();
        assert_eq!(actions, ["replay.set", "mode.set", "mode.set", "mode.set"]);
    }

    async fn operators_find_entries_by_state_account_and_page(bank) {
        bank.two_accounts().await;
        bank.account("c", 10).await;
        let mut entries = Vec::new();
        for _ in 0..5 {
            entries.push(bank.queued("a", "b", 1).await);
        }
        let other = bank.queued("c", "b", 1).await;
        let list = async |filter: Filter| bank.journal.list(&filter).await.unwrap();
        let of_a = Filter { account: Some("a".into()), limit: 2, ..Filter::default() };
        let page = list(of_a.clone()).await;
        assert_eq!(page, entries[..2]);
        assert_eq!(list(Filter { after: Some(page[1].id.clone()), limit: 9, ..of_a }).await, entries[2..]);
        let queued = Filter { states: vec![Queued], limit: 9, ..Filter::default() };
        assert_eq!(list(queued).await.len(), 6);
        let backlog = bank.journal.backlog().await.unwrap();
        assert_eq!((backlog.by_state[&Queued], backlog.open(), backlog.breaks), (6, 6, 0));
        let states = bank.journal.states(std::slice::from_ref(&other.id)).await.unwrap();
        assert_eq!(states[&other.id], Queued);
        assert!(bank.journal.states(&[]).await.unwrap().is_empty());
        assert!(bank.journal.holds(&[]).await.unwrap().is_empty());
        let detail = bank.journal.detail(&other.id).await.unwrap().unwrap();
        assert_eq!((detail.entry, detail.transitions.len()), (other.clone(), 1));
        let by_key = bank.journal.get_by_key("anna", "transfer", &other.idempotency_key).await.unwrap();
        assert_eq!(by_key, Some(other));
    }
}
