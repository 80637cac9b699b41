//! References as the core can store them, keys of the core's rows as they are, and what earlier versions kept.

use schemas::core::{Alphabet, ReferenceFormat};
use schemas::entry::EntryState::*;
use sql::params;
use standin::journal::{Admitted, EntryId, Journal, LegSeen, MIGRATIONS};

use crate::support::*;

/// The same bank in front of a core that stores references in this form.
async fn in_form(bank: &Bank, format: ReferenceFormat) -> Bank {
    let journal = Journal::open(bank.db.clone(), bank.books.clone(), CORE).await.unwrap().with_references(format);
    bank.with_journal(journal)
}

on_every_engine! {
    async fn a_reference_has_the_form_that_the_core_declares_and_is_found_again_by_it(bank) {
        bank.two_accounts().await;
        for (n, (alphabet, length)) in
            (1..).zip([(Alphabet::Digits, Some(16)), (Alphabet::Uuid, None), (Alphabet::UpperAlphanumeric, Some(64))])
        {
            let format = ReferenceFormat { alphabet, length, prefix: None };
            let bank = in_form(&bank, format.clone()).await;
            let entry = bank.direct("a", "b", 1).await;
            assert_eq!(entry.core_ref.len(), format.length(), "{}", entry.core_ref);
            assert_eq!(entry.core_ref, bank.journal.gateway().reference(&entry.id));
            bank.apply(&[("a", 100_000 - n, n)], &[debit_row(&entry, n), credit_row(&entry, n)]).await;
            assert_eq!(bank.state(&entry).await, Confirmed);
        }
    }

    async fn a_reference_that_another_entry_has_already_is_made_anew(bank) {
        bank.two_accounts().await;
        let bank = in_form(&bank, ReferenceFormat { alphabet: Alphabet::Digits, length: Some(16), prefix: None }).await;
        let first = bank.direct("a", "b", 1).await;
        let write = transfer("a", "b", 2);
        let meets = bank.journal.gateway().reference(&write.id);
        bank.db
            .exec("UPDATE entries SET core_ref = ? WHERE id = ?", params![&meets, first.id.as_str()])
            .await
            .unwrap();
        let second = bank.admit(write.clone()).await;
        assert_eq!(second.core_ref.len(), 16);
        assert_ne!(second.core_ref, meets);
        match bank.submit(write).await {
            Admitted::Fresh(entry) => assert_eq!(*entry, kept(&second), "the same key gets the same answer"),
            other => panic!("{other:?}"),
        }
    }

    async fn of_a_core_whose_references_carry_no_mark_foreign_rows_are_no_breaks(bank) {
        bank.two_accounts().await;
        let entry = bank.direct("a", "b", 1).await;
        let lost = LegSeen { core_ref: bank.journal.gateway().reference(&EntryId::generate()), ..debit_row(&entry, 1) };
        assert_eq!(bank.apply(&[], std::slice::from_ref(&lost)).await.breaks, 1, "LC marks it as ours");
        let digits = ReferenceFormat { alphabet: Alphabet::Digits, length: Some(16), prefix: None };
        let bank = in_form(&bank, digits).await;
        let foreign = LegSeen { core_ref: "1234567890123456".into(), ..lost };
        assert_eq!(bank.apply(&[], &[foreign]).await.breaks, 0);
    }

    async fn keys_of_rows_of_any_length_confirm_and_are_told_apart(bank) {
        bank.two_accounts().await;
        let entry = bank.direct("a", "b", 1).await;
        let long = |end: &str| format!("{}é-{end}", "0190a1b2%2Dc3d4".repeat(20));
        let row = |end| LegSeen { row_key: long(end), ..debit_row(&entry, 1) };
        assert_eq!(bank.apply(&[("a", 99_999, 1)], &[row("1"), credit_row(&entry, 1)]).await.breaks, 0);
        assert_eq!(bank.state(&entry).await, Confirmed);
        assert_eq!(bank.apply(&[], &[row("1")]).await.breaks, 0, "the same row again");
        assert_eq!(bank.apply(&[], &[row("2")]).await.breaks, 1, "another row for the same leg");
        let kept = bank.db.query("SELECT row_key FROM breaks", vec![]).await.unwrap();
        let kept: String = kept[0].get("row_key").unwrap();
        assert!(kept.chars().count() == 128 && kept.starts_with("0190a1b2%2D") && kept.contains("sha256:"), "{kept}");
    }
}

#[tokio::test]
async fn keys_kept_in_quotes_by_an_earlier_version_are_the_keys_they_quote() {
    for server in engines() {
        let bank = Bank::open(&server).await;
        bank.two_accounts().await;
        let mut entries = Vec::new();
        for (n, key) in ["\"quoted\"", "\"both\"", "both", "\"", "\"\"", "\"a\\\"b\""].into_iter().enumerate() {
            entries.push(bank.admit(transfer("a", "b", 1 + n as i64).key(key)).await);
        }
        for step in
            MIGRATIONS.iter().flat_map(|step| step.statements).filter(|sql| sql.contains("idempotency_key LIKE"))
        {
            bank.db.exec(step, vec![]).await.unwrap();
        }
        let later = bank.another("gateway-2").await;
        let find =
            async |key: &str| later.journal.gateway().get_by_key("anna", "transfer", key).await.unwrap().map(|e| e.id);
        assert_eq!(find("quoted").await, Some(entries[0].id.clone()));
        assert_eq!(find("\"quoted\"").await, None);
        assert_eq!(find("\"both\"").await, Some(entries[1].id.clone()), "its bare form is another entry's");
        for entry in &entries[2..] {
            assert_eq!(find(&entry.idempotency_key).await, Some(entry.id.clone()));
        }
        bank.remove().await;
    }
}
