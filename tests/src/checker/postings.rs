//! Every acknowledged key ended exactly once, and every posting belongs to a key.

use super::{Known, Rule, Violation, asked};
use crate::history::{Posting, Side, Transfer};

pub(super) fn check(known: &Known<'_>, found: &mut Vec<Violation>) {
    for (key, exchanges) in &known.keys {
        let acknowledged = exchanges.iter().filter_map(|e| e.answer()).any(|answer| answer.acknowledges());
        match known.evidence.shown.get(*key) {
            Some(shown) if shown.status == 200 => {
                if let Some(transfer) = asked(exchanges) {
                    ended(known, found, key, transfer);
                }
            }
            Some(shown) if shown.status == 404 && !acknowledged => {}
            _ if acknowledged => known.object(found, Rule::Lost, key, "acknowledged, and GET does not show it"),
            _ => known.object(found, Rule::WrongAnswer, key, "the final look-up got neither 200 nor 404"),
        }
    }
    unexplained(known, found);
}

fn ended(known: &Known<'_>, found: &mut Vec<Violation>, key: &str, transfer: &Transfer) {
    let rows = known.postings_of(key);
    let shown = &known.evidence.shown[key];
    let legs = [(Side::Debit, &transfer.from), (Side::Credit, &transfer.to)];
    for (side, _) in legs {
        if rows.iter().filter(|row| row.side == side).count() > 1 {
            known.object(found, Rule::Doubled, key, format!("more than one {side:?}"));
        }
    }
    if !rows.is_empty() {
        for (side, account) in legs {
            match rows.iter().find(|row| row.side == side) {
                None => known.object(found, Rule::Altered, key, format!("posted without its {side:?}")),
                Some(row) if !is_leg(row, account, transfer) => {
                    known.object(found, Rule::Altered, key, format!("{row} is not what was asked for"));
                }
                Some(_) => {}
            }
        }
    }
    match shown.text("status") {
        Some("COMPLETED") if rows.is_empty() => known.object(found, Rule::Lost, key, "COMPLETED, and not posted"),
        Some("COMPLETED") => {}
        Some("FAILED" | "CANCELLED") if !rows.is_empty() => {
            known.object(found, Rule::RefusedButPosted, key, "ended without a posting, and posted");
        }
        Some("FAILED") if shown.text("reason").is_none_or(str::is_empty) => {
            known.object(found, Rule::SilentRefusal, key, "FAILED, and GET shows no reason");
        }
        Some("FAILED" | "CANCELLED") => {}
        Some("PROCESSING") => known.object(found, Rule::NotEnded, key, "still PROCESSING at rest"),
        other => known.object(found, Rule::WrongAnswer, key, format!("GET shows the status {other:?}")),
    }
}

fn is_leg(row: &Posting, account: &str, transfer: &Transfer) -> bool {
    row.account == account
        && row.amount_minor == transfer.amount_minor
        && row.currency == transfer.currency
        && row.text == transfer.remittance.as_deref().unwrap_or("")
}

fn unexplained(known: &Known<'_>, found: &mut Vec<Violation>) {
    let allowed = &known.evidence.branch_refs;
    for row in known.evidence.new_postings() {
        let core_ref = row.core_ref.as_deref().unwrap_or("");
        if !known.owners.contains_key(core_ref) && !allowed.contains(core_ref) {
            let what = "no key resolves to this posting".to_owned();
            found.push(Violation {
                rule: Rule::Unexplained,
                about: row.account.clone(),
                what,
                trail: vec![row.to_string()],
            });
        }
    }
}
