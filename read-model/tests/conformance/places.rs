//! Places among the source's transactions stand beside the rows they belong to, and go with them.

use read_model::*;
use schemas::entry::LegKind;
use schemas::model::{Balance, CanonicalChange, CanonicalRow, Entity, LegEvidence, LegVerdict, RowChange};
use schemas::position::{SourcePosition, TransactionPlace};

use crate::support::*;

pub fn place(pos: u64) -> Option<TransactionPlace> {
    let position = SourcePosition::Binlog { file: 1, pos, row: 0, gtid: None };
    TransactionPlace::streamed(1, &position, "0-1-42").ok()
}

fn at(place: Option<TransactionPlace>, change: CanonicalChange) -> CanonicalChange {
    CanonicalChange { place, ..change }
}

fn balance_of(change: &CanonicalChange) -> Balance {
    match &change.row {
        RowChange::Upsert(CanonicalRow::Balance(row)) => row.clone(),
        other => panic!("{other:?}"),
    }
}

/// The place of the balance of account `a`, and of its posting 1, as the journal is told.
async fn told(world: &World) -> (Option<TransactionPlace>, Option<TransactionPlace>) {
    let read = world.db.transaction(|tx| {
        Box::pin(async move {
            let balance = facts(tx, &["a"]).await.unwrap()[0].place;
            let found = postings(tx, &["a-000001".to_owned()]).await?;
            Ok::<_, sql::Error>((balance, found[0].place))
        })
    });
    read.await.unwrap()
}

pub async fn kept(world: &mut World) {
    world.apply(vec![account("a", "c", 1), balance("a", 1, 2), posting("a", 1, 5, 7, "x", 3)]).await;
    assert_eq!(told(world).await, (None, None), "a core that numbers its postings");
    let changes = vec![at(place(4), balance("a", 2, 4)), at(place(5), posting("a", 1, 5, 7, "x", 5))];
    world.apply(changes).await;
    assert_eq!(told(world).await, (place(4), place(5)));
    world.apply(vec![at(place(3), balance("a", 9, 3))]).await;
    assert_eq!(told(world).await.0, place(4), "an older row changes nothing");
    world.apply(vec![at(place(7), posting("a", 1, 5, 7, "x", 7))]).await;
    assert_eq!(told(world).await.1, place(5), "a later change of its row is no new posting");
    let two = vec![at(place(9), posting("a", 1, 5, 7, "x", 9)), at(place(8), posting("a", 1, 5, 7, "x", 8))];
    world.apply(two).await;
    assert_eq!(told(world).await.1, place(5));
    world.apply(vec![delete(Entity::Balance, "a", 6)]).await;
    assert_eq!(told(world).await.0, None);
}

pub async fn waiting(world: &mut World) {
    let kept = [place(4), None].into_iter().zip([4, 5]).map(|(place, n)| {
        let change = balance("a", 1, n);
        WaitingBalance { row: balance_of(&change), version: change.version, place, sent_ms: 0, made_ms: 0 }
    });
    let (kept, writer) = (kept.collect::<Vec<_>>(), world.writer.clone());
    let wanted = kept.clone();
    let read = world.db.transaction(move |tx| {
        Box::pin(async move {
            writer.keep_waiting(tx, &kept).await?;
            writer.waiting_balances(tx).await
        })
    });
    assert_eq!(read.await.unwrap()["a"], wanted);
}

pub async fn of_a_shadow(world: &mut World) {
    let evidence = |leg, place| LegEvidence {
        core_ref: "r".into(),
        leg,
        verdict: LegVerdict::Posted,
        account_id: "a".into(),
        amount_minor: -5,
        currency: eur(),
        posting_no: None,
        place,
        row_key: "1".into(),
        version: version(3),
    };
    let kept = vec![evidence(LegKind::Debit, place(3)), evidence(LegKind::Credit, None)];
    let writer = Writer::shadow(&world.source, 2);
    let read = world.db.transaction(move |tx| {
        Box::pin(async move {
            writer.keep_evidence(tx, &kept).await?;
            writer.evidence_after(tx, "").await
        })
    });
    let mut places: Vec<_> = read.await.unwrap().into_iter().map(|seen| (seen.leg.as_str(), seen.place)).collect();
    places.sort_by_key(|(leg, _)| *leg);
    assert_eq!(places, [("credit", None), ("debit", place(3))]);
}
