//! The proof: what channels were told, against the core's own books and what Locum shows now. Nothing of Locum's journal is asked.

use std::collections::HashMap;

use edge::client::Http;
use http::StatusCode;
use serde_json::Value as Json;

use super::channels::{Write, submit};

/// One leg of a posting in the core's books: account, direction, amount.
type Leg = (String, String, String);

/// The core's books, postings by the reference they carry.
pub struct Books {
    /// Account to balance.
    balances: HashMap<String, String>,
    postings: HashMap<String, Vec<Leg>>,
}

impl Books {
    /// Reads the core's ledger.
    pub fn read(ledger: &Json) -> Self {
        let text = |row: &Json, name: &str| row[name].as_str().unwrap_or_default().to_owned();
        let rows = |name: &str| ledger[name].as_array().map(Vec::as_slice).unwrap_or_default();
        let balances = rows("accounts").iter().map(|row| (text(row, "account"), text(row, "balance"))).collect();
        let mut postings: HashMap<String, Vec<Leg>> = HashMap::new();
        for row in rows("postings") {
            let leg = (text(row, "account"), text(row, "direction"), text(row, "amount"));
            postings.entry(text(row, "reference")).or_default().push(leg);
        }
        Self { balances, postings }
    }

    /// Accounts in the order of their numbers.
    pub fn accounts(&self) -> Vec<String> {
        let mut accounts: Vec<String> = self.balances.keys().cloned().collect();
        accounts.sort();
        accounts
    }
}

/// What the comparison of all writes found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// Accepted, ended as posted, and not in the core's books as ordered; or without an end.
    pub lost: usize,
    /// References with more than their two legs.
    pub twice: usize,
    /// In the books without an accepted write behind it.
    pub unexplained: usize,
    /// Of the writes answered "processing": posted by now.
    pub replayed: usize,
    /// Of the writes answered "processing": refused by the core with a reason that the channel can read.
    pub refused_later: usize,
}

/// Compares every write with the books. `shown` is what `GET` answers now, by key.
pub fn compare(writes: &[Write], shown: &HashMap<String, Json>, books: &Books) -> Findings {
    let mut found = Findings::default();
    let mut explained = 0;
    for write in writes {
        let Some(now) = shown.get(&write.key) else {
            found.lost += usize::from(write.accepted());
            continue;
        };
        let legs = books.postings.get(now["core_reference"].as_str().unwrap_or_default());
        let (status, processing) = (now["status"].as_str(), write.status == Some(StatusCode::ACCEPTED));
        found.twice += usize::from(legs.is_some_and(|legs| legs.len() > 2));
        match (status, legs) {
            (Some("COMPLETED"), Some(legs)) if same(legs, &write.body) => {
                explained += 1;
                found.replayed += usize::from(processing);
            }
            (Some("FAILED"), None) if now["reason"].is_string() => found.refused_later += usize::from(processing),
            _ => found.lost += 1,
        }
    }
    found.unexplained = books.postings.len() - explained;
    found
}

/// Is this the one debit and the one credit that were ordered?
fn same(legs: &[Leg], body: &Json) -> bool {
    let ordered = |account: &str, direction: &str| {
        let is = |leg: &&Leg| body[account] == leg.0.as_str() && leg.1 == direction && body["amount"] == leg.2.as_str();
        legs.iter().filter(is).count() == 1
    };
    legs.len() <= 2 && ordered("from_account", "D") && ordered("to_account", "C")
}

/// What `GET` by key answers for every write.
pub async fn shown(http: &mut Http, writes: &[Write]) -> HashMap<String, Json> {
    let mut shown = HashMap::new();
    for write in writes {
        let path = format!("/v1/transfers?idempotency_key={}", write.key);
        if let Ok(answer) = http.get(&path).await
            && answer.status == StatusCode::OK
        {
            shown.insert(write.key.clone(), answer.body);
        }
    }
    shown
}

/// Accounts whose balance Locum shows as the core has it, with nothing held any more.
pub async fn balances_equal(http: &mut Http, books: &Books) -> usize {
    let mut equal = 0;
    for (account, balance) in &books.balances {
        let answer = http.get(&format!("/v1/accounts/{account}/balances")).await;
        equal += usize::from(answer.is_ok_and(|answer| {
            let member = |name: &str| answer.body[name].as_str().map(str::to_owned);
            member("booked").as_ref() == Some(balance)
                && member("available").as_ref() == Some(balance)
                && member("pending").as_deref() == Some("0.00")
        }));
    }
    equal
}

/// Sends so many of the accepted writes again under their keys; how many got the transfer they had got before.
pub async fn same_answer_again(http: &mut Http, writes: &[Write], count: usize) -> usize {
    let mut same = 0;
    for write in writes.iter().filter(|write| write.accepted()).rev().take(count) {
        let again = submit(http, &write.key, &write.body).await;
        same += usize::from(again.is_ok_and(|again| {
            again.header("idempotent-replayed") == "true" && again.body["transfer_id"] == write.answer["transfer_id"]
        }));
    }
    same
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn write(status: u16) -> Write {
        let body = json!({"from_account": "1", "to_account": "2", "amount": "3.00"});
        let status = StatusCode::from_u16(status).ok();
        Write { key: "k".into(), body, status, answer: json!({"status": "PROCESSING"}) }
    }

    fn books(postings: &[(&str, &str, &str, &str)]) -> Books {
        let row = |(reference, account, direction, amount): &(&str, &str, &str, &str)| json!({"reference": reference, "account": account, "direction": direction, "amount": amount});
        Books::read(&json!({"accounts": [], "postings": postings.iter().map(row).collect::<Vec<_>>()}))
    }

    fn found(status: &str, postings: &[(&str, &str, &str, &str)]) -> Findings {
        let now = json!({"core_reference": "R", "status": status, "reason": "insufficient-funds"});
        compare(&[write(202)], &HashMap::from([("k".to_owned(), now)]), &books(postings))
    }

    const DEBIT: (&str, &str, &str, &str) = ("R", "1", "D", "3.00");
    const CREDIT: (&str, &str, &str, &str) = ("R", "2", "C", "3.00");

    #[test]
    fn a_write_that_was_replayed_once_is_no_finding() {
        assert_eq!(found("COMPLETED", &[DEBIT, CREDIT]), Findings { replayed: 1, ..Findings::default() });
    }

    #[test]
    fn a_refusal_with_a_reason_is_an_end() {
        assert_eq!(found("FAILED", &[]), Findings { refused_later: 1, ..Findings::default() });
    }

    #[test]
    fn lost_doubled_altered_and_foreign_postings_are_found() {
        assert_eq!(found("COMPLETED", &[]).lost, 1);
        assert_eq!(found("PROCESSING", &[DEBIT, CREDIT]).lost, 1);
        assert_eq!(compare(&[write(202)], &HashMap::new(), &books(&[])).lost, 1);
        assert_eq!(found("COMPLETED", &[DEBIT, CREDIT, DEBIT, CREDIT]).twice, 1);
        assert_eq!(found("COMPLETED", &[("R", "1", "D", "3.01"), CREDIT]).lost, 1);
        assert_eq!(found("COMPLETED", &[("R", "9", "D", "3.00"), CREDIT]).lost, 1);
        assert_eq!(found("FAILED", &[DEBIT, CREDIT]).unexplained, 1);
        assert_eq!(found("COMPLETED", &[DEBIT, CREDIT, ("X", "1", "D", "3.00")]).unexplained, 1);
    }
}
