//! What stands in for accounts and for the core in the tests of this crate.

use std::pin::Pin;
use std::time::Duration;

use connectors::{CoreConnector, Probe};
use schemas::core::{Capabilities, Enquiry, Outcome, Posting, Unsent};
use schemas::post_request::PostRequest;
use sql::{BoxFuture, Db, Tx};
use standin::journal::{Facts, KnownAccounts};

/// No account is known.
pub(crate) struct NoAccounts;

impl Facts for NoAccounts {
    fn read<'t>(&'t self, _: &'t mut Tx, _: &'t [String]) -> BoxFuture<'t, Result<KnownAccounts, sql::Error>> {
        Box::pin(async { Ok(KnownAccounts::default()) })
    }
}

/// What happens while the core is asked to post.
pub(crate) enum Core {
    /// It panics.
    Panics,
    /// It posts.
    Posts,
    /// It answers that it did nothing and may be asked again.
    NotDone,
    /// The store refuses from now on to record anything; then the core answers that it posted.
    BreaksStore(Db),
    /// The entry's row is damaged; then the core answers that it posted.
    Damages(Db),
}

impl Core {
    async fn answer(&self) -> Outcome {
        match self {
            Core::Panics => panic!("on purpose: the connector fails"),
            Core::BreaksStore(db) => {
                db.exec("ALTER TABLE transitions RENAME TO kept", Vec::new()).await.unwrap();
                Outcome::Posted(Posting { core_id: None, numbers: Default::default() })
            }
            Core::NotDone => Outcome::NotSent { why: Unsent::NotDone, reason: "status 429".into() },
            Core::Posts => Outcome::Posted(Posting { core_id: None, numbers: Default::default() }),
            Core::Damages(db) => {
                db.exec("UPDATE entries SET state = 'nonsense'", Vec::new()).await.unwrap();
                Outcome::Posted(Posting { core_id: None, numbers: Default::default() })
            }
        }
    }
}

type Told<'t, T> = Pin<Box<dyn Future<Output = T> + Send + 't>>;

impl CoreConnector for Core {
    fn name(&self) -> &str {
        "core"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { reference_memory_ms: None, enquiry: false, request_lifetime_ms_max: 0 }
    }

    fn offers(&self, _: &str) -> bool {
        true
    }

    fn post<'a, 'b, 't>(&'a self, _: &'b PostRequest, _: Duration) -> Told<'t, Outcome>
    where
        'a: 't,
        'b: 't,
    {
        Box::pin(self.answer())
    }

    fn enquire<'a, 'b, 'c, 't>(&'a self, _: &'b str, _: &'c str, _: Duration) -> Told<'t, Enquiry>
    where
        'a: 't,
        'b: 't,
        'c: 't,
    {
        Box::pin(async { Enquiry::NotFound })
    }

    fn probe<'a, 't>(&'a self, _: Duration) -> Told<'t, Probe>
    where
        'a: 't,
    {
        Box::pin(async { Probe::Up })
    }
}
