//! M1: what stand-in promises never exceeds funds or limits, however many ask at once.

use schemas::entry::EntryState::*;
use schemas::entry::Evidence;
use standin::journal::{Admitted, Entry};
use standin::rules::{Limits, Reason};

use crate::support::*;

/// Deterministic numbers of a seed.
struct Seeded(u64);

impl Seeded {
    fn below(&mut self, bound: u64) -> i64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % bound) as i64
    }
}

/// 64 writers on each of two instances, each with one write; the entries they got.
async fn storm(bank: &Bank, other: &Bank, mut write: impl FnMut() -> standin::journal::Write) -> Vec<Entry> {
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..128 {
        let admissions = if n % 2 == 0 { bank.admissions.clone() } else { other.admissions.clone() };
        let write = write();
        tasks.spawn(async move { admissions.submit(write).await });
    }
    let answers = tasks.join_all().await;
    answers.into_iter().map(|answer| fresh(answer.unwrap())).collect()
}

on_every_engine! {
    async fn two_instances_of_64_writers_never_promise_more_than_funds_or_the_daily_limit(bank) {
        let other = bank.another("gateway-2").await;
        for seed in 1..=3_u64 {
            let mut random = Seeded(seed);
            let accounts: Vec<String> = (0..3).map(|n| format!("a{seed}-{n}")).collect();
            let funds: Vec<i64> = accounts.iter().map(|_| 2_000 + random.below(6_000)).collect();
            for (account, booked) in accounts.iter().zip(&funds) {
                bank.account(account, *booked).await;
            }
            let per_day_minor = 4_000 + random.below(3_000);
            let limits = Limits { per_day_count: 30, ..limited_to(per_day_minor) };
            bank.journal.operators().set_limits("op", &limits, None, "test").await.unwrap();
            let names = accounts.clone();
            let entries = storm(&bank, &other, move || {
                let from = random.below(3) as usize;
                transfer(&names[from], &names[(from + 1) % 3], 1 + random.below(400)).away()
            })
            .await;
            for (account, funds) in accounts.iter().zip(funds) {
                let of = |state| entries.iter().filter(move |e| e.command.from_account == *account && e.state == state);
                let (sum, count) = (of(Queued).map(|e| e.command.amount_minor).sum::<i64>(), of(Queued).count() as i64);
                assert!(sum <= funds && sum <= per_day_minor && count <= 30, "{sum} of {funds}, {count}, seed {seed}");
                // Nothing was declined that would still fit: what is left only ever shrank.
                for declined in of(Declined) {
                    let amount = declined.command.amount_minor;
                    match Reason::parse(declined.reason.as_deref().unwrap()).unwrap() {
                        Reason::InsufficientFunds => assert!(amount > funds - sum),
                        Reason::DailyLimitExceeded => assert!(amount > per_day_minor - sum),
                        Reason::DailyCountExceeded => assert_eq!(count, 30),
                        other => panic!("{other:?}"),
                    }
                }
                assert_eq!(bank.available(account).await, funds - sum);
            }
        }
    }

    async fn equal_debits_fill_the_limit_to_the_last_cent(bank) {
        bank.account("a", 1_000_000).await;
        bank.account("b", 0).await;
        let other = bank.another("gateway-2").await;
        bank.journal.operators().set_limits("op", &limited_to(5_000), None, "test").await.unwrap();
        let entries = storm(&bank, &other, || transfer("a", "b", 100).away()).await;
        assert_eq!(entries.iter().filter(|e| e.state == Queued).count(), 50);
    }

    async fn an_entry_of_yesterday_does_not_free_todays_limit(bank) {
        bank.account("a", 1_000_000).await;
        bank.account("b", 0).await;
        bank.account("c", 0).await;
        bank.journal.operators().set_limits("op", &limited_to(1_000), None, "test").await.unwrap();
        // Sent directly just before midnight; its answer never comes, and it joins the order of its lane only today.
        bank.noon(-1).await;
        let late = bank.direct("a", "c", 10).await;
        bank.noon(0).await;
        bank.queued("a", "b", 1_000).await;
        bank.first_attempt(&late, Evidence::NoAnswer).await;
        let more = bank.admit(transfer("a", "b", 1_000).away()).await;
        assert_eq!((more.state, more.reason.as_deref()), (Declined, Some(Reason::DailyLimitExceeded.code())));
        // The SQL server's clock, set back by a day, does not either.
        bank.noon(-1).await;
        assert_eq!(bank.admit(transfer("a", "b", 1_000).away()).await.state, Declined);
        bank.noon(1).await;
        assert_eq!(bank.admit(transfer("a", "b", 1_000).away()).await.state, Queued);
    }

    async fn a_cancelled_debit_gives_its_funds_back_and_its_share_of_the_day_not(bank) {
        bank.account("a", 1_000).await;
        bank.account("b", 0).await;
        bank.journal.operators().set_limits("op", &limited_to(1_500), None, "test").await.unwrap();
        let entry = bank.queued("a", "b", 1_000).await;
        assert_eq!(bank.available("a").await, 0);
        bank.journal.gateway().cancel("anna", &entry.id).await.unwrap();
        assert_eq!(bank.available("a").await, 1_000);
        assert_eq!(
            bank.admit(transfer("a", "b", 501).away()).await.reason.as_deref(),
            Some(Reason::DailyLimitExceeded.code())
        );
        assert_eq!(bank.admit(transfer("a", "b", 500).away()).await.state, Queued);
    }

    async fn direct_and_queued_debits_of_one_account_share_its_funds(bank) {
        bank.two_accounts().await;
        bank.direct("a", "b", 60_000).await;
        let declined = bank.admit(transfer("a", "b", 40_001).away()).await;
        assert_eq!(declined.reason.as_deref(), Some(Reason::InsufficientFunds.code()));
        bank.queued("a", "b", 40_000).await;
        assert_eq!(bank.available("a").await, 0);
    }

    /// Orientation, not a bar: `cargo test … --ignored --nocapture`.
    #[ignore = "a measurement"]
    async fn writes_per_second_of_64_clients(bank) {
        const ACCOUNTS: usize = 256;
        for n in 0..ACCOUNTS {
            bank.account(&format!("a{n}"), 1_000_000_000).await;
        }
        for (name, belief_away) in [("queued", true), ("direct", false)] {
            let started = std::time::Instant::now();
            let mut tasks = tokio::task::JoinSet::new();
            for client in 0..64_usize {
                let admissions = bank.admissions.clone();
                tasks.spawn(async move {
                    let mut done = 0_u32;
                    while started.elapsed() < std::time::Duration::from_secs(5) {
                        let from = (client * 4 + done as usize % 4) % ACCOUNTS;
                        let write = transfer(&format!("a{from}"), &format!("a{}", (from + 1) % ACCOUNTS), 1);
                        let write = if belief_away { write.away() } else { write };
                        assert!(matches!(admissions.submit(write).await, Ok(Admitted::Fresh(_))));
                        done += 1;
                    }
                    done
                });
            }
            let done: u32 = tasks.join_all().await.into_iter().sum();
            println!("{}: {name}: {} writes/s", bank.server, done / 5);
        }
    }
}
