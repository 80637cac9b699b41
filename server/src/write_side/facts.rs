//! What admission and confirmation learn about accounts: from the read model, inside their own transaction.

use std::collections::{HashMap, HashSet};

use read_model::PostingFound;
use schemas::model::AccountState;
use sql::{BoxFuture, Tx};
use standin::admission::{AccountFacts, AccountStatus};
use standin::journal::{Facts, KnownAccount, KnownAccounts, PostingRow};

/// The read model as the journal sees it.
pub struct ReadModelFacts;

impl Facts for ReadModelFacts {
    fn read<'t>(&'t self, tx: &'t mut Tx, accounts: &'t [String]) -> BoxFuture<'t, Result<KnownAccounts, sql::Error>> {
        Box::pin(async move {
            let names: Vec<&str> = accounts.iter().map(String::as_str).collect();
            let found = read_model::facts(tx, &names).await.map_err(as_sql)?;
            let known: HashMap<_, _> = found.iter().filter_map(sheet).collect();
            // Account without balance: unclear. Missing account: unclear only if an unapplied event may be about it.
            let halves = found.iter().map(|facts| facts.document.account.row.account_id.clone());
            let mut unclear: HashSet<_> = halves.filter(|account| !known.contains_key(account)).collect();
            let absent: Vec<&str> = names.into_iter().filter(|account| !known.contains_key(*account)).collect();
            unclear.extend(read_model::unclear(tx, &absent).await?.into_iter().map(str::to_owned));
            Ok(KnownAccounts { accounts: known, unclear })
        })
    }

    fn postings<'t>(
        &'t self,
        tx: &'t mut Tx,
        postings: &'t [String],
    ) -> BoxFuture<'t, Result<Vec<PostingRow>, sql::Error>> {
        Box::pin(async move {
            let found = read_model::postings(tx, postings).await?;
            let row = |found: PostingFound| PostingRow {
                posting: found.transaction_id,
                account: found.account_id,
                amount_minor: found.amount_minor,
                currency: found.currency,
                posting_no: found.posting_no,
                place: found.place,
                core_ref: found.core_ref,
            };
            Ok(found.into_iter().map(row).collect())
        })
    }
}

fn as_sql(err: read_model::ReadError) -> sql::Error {
    match err {
        read_model::ReadError::Store(err) => err,
        other => sql::Error::Unavailable(other.to_string()),
    }
}

/// An account whose balance row has not arrived yet is left out.
fn sheet(facts: &read_model::AccountRead) -> Option<(String, KnownAccount)> {
    let (account, balance) = (&facts.document.account.row, facts.document.balance.as_ref()?);
    let status = match account.state {
        AccountState::Active => AccountStatus::Active,
        AccountState::Frozen => AccountStatus::Frozen,
        AccountState::Closed => AccountStatus::Closed,
    };
    let sheet = KnownAccount {
        facts: AccountFacts {
            currency: balance.row.currency,
            status,
            booked_minor: balance.row.booked_minor,
            overdraft_line_minor: balance.row.overdraft_line_minor,
            core_holds_minor: balance.row.core_holds_minor,
        },
        customer_id: account.customer_id.clone(),
        // A core that does not number its postings releases no hold by number.
        last_posting: balance.row.last_posting.unwrap_or(i64::MIN),
        place: facts.place,
        balance_version: balance.version.as_bytes().to_vec(),
        // An event of it that could not be applied may have been the one that froze it.
        as_of_us: facts.source.as_of_ms.filter(|_| !facts.degraded).map(|ms| ms.saturating_mul(1_000)),
    };
    Some((account.account_id.clone(), sheet))
}
