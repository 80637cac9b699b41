//! One running core: database, first accounts, two ports, and an orderly stop.

use std::future::Future;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use sql::{Db, Dialect};
use tokio::sync::{mpsc, watch};

use crate::bank::{Bank, Counters};
use crate::faults::{FaultKind, Faults};
use crate::ledger::{Ledger, LedgerError, Rules};
use crate::options::{Options, Settings};
use crate::serve::{Port, serve};
use crate::{changes, control, seed};

/// Between two attempts to reach a database that is away.
const RETRY_PAUSE: Duration = Duration::from_millis(500);
/// Between two heartbeats of the change log.
const HEARTBEAT_PERIOD: Duration = Duration::from_secs(1);
/// Longest wait at a stop for requests under way.
const DRAIN_MAX: Duration = Duration::from_secs(10);

/// Runs a core until `shutdown` resolves. Ready when the ports file is there (and, without one, when both ports answer).
/// Fails on unsound options, ports that are taken and a database that refuses our statements; waits for one that is away.
pub async fn run(options: Options, shutdown: impl Future<Output = ()> + Send) -> anyhow::Result<()> {
    let settings = options.check()?;
    let bank_port = Port::bind(settings.options.listen)?;
    let control_port = Port::bind(settings.options.control)?;
    let mut shutdown = pin!(shutdown);
    let db = tokio::select! {
        db = prepared(&settings) => db?,
        () = &mut shutdown => return Ok(()),
    };
    let (busy, mut idle) = mpsc::channel(1);
    let (stop, running) = watch::channel(true);
    let bank = bank(&settings, db.clone(), busy, running.clone());
    let ports =
        format!("BANK={}\nCONTROL={}\nPID={}\n", bank_port.address(), control_port.address(), std::process::id());
    let (bank_open, bank_is_open) = watch::channel(true);
    let answering = bank.clone();
    let listening = bank.faults.listening.clone();
    tokio::spawn(serve(bank_port, bank_is_open, listening, bank.busy.clone(), move |request| {
        answering.answer(request)
    }));
    let listening = watch::Sender::new(false);
    let answers = control::answers(bank.clone());
    tokio::spawn(serve(control_port, running.clone(), listening.clone(), bank.busy.clone(), answers));
    tokio::spawn(obey_refuse(bank.faults.clone(), bank_open, running.clone()));
    if db.dialect() == Dialect::Sqlite {
        tokio::spawn(beat(bank.ledger.clone(), running));
    }
    for listening in [listening, bank.faults.listening.clone()] {
        listening.subscribe().wait_for(|listening| *listening).await?;
    }
    drop(bank);
    if let Some(path) = &settings.options.ports_file {
        write_atomically(path, &ports)?;
    }
    print!("{ports}");
    tracing::info!(class = ?settings.options.class, "core is up");

    shutdown.await;
    stop.send_replace(false);
    drop(stop);
    if tokio::time::timeout(DRAIN_MAX, idle.recv()).await.is_err() {
        tracing::warn!("some connections were still open at the stop");
    }
    db.close().await;
    Ok(())
}

fn bank(settings: &Settings, db: Db, busy: mpsc::Sender<()>, running: watch::Receiver<bool>) -> Bank {
    let memory_ms = settings.options.reference_memory_s.saturating_mul(1_000);
    let rules =
        Rules { class: settings.options.class, reference_memory_ms: i64::try_from(memory_ms).unwrap_or(i64::MAX) };
    Bank {
        ledger: Ledger::new(db, rules),
        faults: Arc::new(Faults::new(settings.options.seed)),
        counters: Arc::new(Counters::default()),
        enquiry: settings.enquiry,
        lifetime: Duration::from_millis(settings.options.request_lifetime_ms),
        busy,
        running,
    }
}

/// The database with its tables and first accounts; asks again for as long as it is away.
async fn prepared(settings: &Settings) -> anyhow::Result<Db> {
    loop {
        let attempt = async {
            let db = Db::open(&settings.options.database, sql::Options::default()).await?;
            seed::seed(&db, settings).await?;
            Ok(db)
        };
        match attempt.await {
            Ok(db) => return Ok(db),
            Err(err @ (sql::Error::Configuration(_) | sql::Error::Statement { .. } | sql::Error::Column { .. })) => {
                return Err(err.into());
            }
            Err(err) => {
                tracing::warn!(error = %err, "waiting for the core's database");
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        }
    }
}

/// Opens and shuts the bank's port as the fault in force says, and shuts it for good at the stop.
async fn obey_refuse(faults: Arc<Faults>, open: watch::Sender<bool>, mut running: watch::Receiver<bool>) {
    let mut fault = faults.watch();
    loop {
        let wanted = fault.borrow_and_update().kind != FaultKind::Refuse;
        open.send_if_modified(|open| std::mem::replace(open, wanted) != wanted);
        tokio::select! {
            _ = running.changed() => {}
            changed = fault.changed() => if changed.is_err() { return },
        }
        if !*running.borrow() {
            open.send_replace(false);
            return;
        }
    }
}

/// Keeps the change log's heartbeat young.
async fn beat(ledger: Ledger, mut running: watch::Receiver<bool>) {
    let mut period = tokio::time::interval(HEARTBEAT_PERIOD);
    loop {
        tokio::select! {
            _ = running.changed() => return,
            _ = period.tick() => {}
        }
        let beaten = ledger
            .db
            .transaction(|tx| {
                Box::pin(async move { changes::heartbeat(tx, Timestamp::now()).await.map_err(LedgerError::from) })
            })
            .await;
        match beaten {
            Ok(position) => ledger.announce(position),
            Err(err) => tracing::warn!(error = %err, "heartbeat not written"),
        }
    }
}

/// A reader of `path` sees the whole text or none of it.
fn write_atomically(path: &Path, text: &str) -> std::io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    std::fs::write(&beside, text)?;
    std::fs::rename(&beside, path)
}
