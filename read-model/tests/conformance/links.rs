//! Links and the postings they name, in either order.

use read_model::*;
use schemas::model::{CanonicalChange, CanonicalRow, Entity, PostingLink, RowChange, Was};

use crate::support::*;

on_every_engine! {
    World::open;
    a_link_and_its_posting_find_each_other_in_either_order => either_order;
    a_posting_has_one_link_the_first_that_names_it => one_link;
    a_posting_that_ended_is_known_to_a_later_link => ended;
    links_are_of_their_generation_and_are_swept_with_it => generations;
    a_posting_that_a_link_names_carries_its_reference => named;
}

/// Applies a batch; answers what it says of entries: reference, leg, account, amount, number and row.
async fn told(writer: &Writer, world: &World, changes: Vec<CanonicalChange>, links: Vec<PostingLink>) -> Vec<String> {
    let writer = writer.clone();
    let evidence = world.db.transaction(move |tx| {
        Box::pin(async move {
            let evidence = writer.linked(tx, &changes, &links).await?;
            writer.apply(tx, &changes).await?;
            writer.keep_links(tx, &links).await?;
            Ok::<_, WriteError>(evidence)
        })
    });
    let told = |seen: schemas::model::LegEvidence| {
        let (leg, no) = (seen.leg.as_str(), seen.posting_no.unwrap_or_default());
        format!("{} {leg} {} {} {no} {}", seen.core_ref, seen.account_id, seen.amount_minor, seen.row_key)
    };
    evidence.await.unwrap().into_iter().map(told).collect()
}

fn link(core_ref: &str, posting: &str, position: u64) -> PostingLink {
    PostingLink { transaction_id: posting.to_owned(), core_ref: core_ref.to_owned(), version: version(position) }
}

fn debit(n: i64, position: u64) -> CanonicalChange {
    posting("a", n, 50, -5, "x", position)
}

/// The end of a posting that is none any more.
fn no_more(change: CanonicalChange, position: u64) -> CanonicalChange {
    let RowChange::Upsert(CanonicalRow::Transaction(row)) = change.row else { panic!("no posting") };
    CanonicalChange { version: version(position), row: RowChange::Ended(Was::Posting(row)), ..change }
}

async fn either_order(world: &mut World) {
    let writer = world.writer.clone();
    let nothing: [&str; 0] = [];
    assert_eq!(told(&writer, world, vec![debit(1, 1)], vec![]).await, nothing);
    let first = ["R1 debit a -5 1 a-000001"];
    assert_eq!(told(&writer, world, vec![], vec![link("R1", "a-000001", 2)]).await, first);
    assert_eq!(told(&writer, world, vec![], vec![link("R2", "a-000002", 3)]).await, nothing);
    let credit = posting("a", 2, 60, 7, "x", 4);
    assert_eq!(told(&writer, world, vec![credit], vec![]).await, ["R2 credit a 7 2 a-000002"]);
    let both = ["R3 debit a -5 3 a-000003"];
    assert_eq!(told(&writer, world, vec![debit(3, 5)], vec![link("R3", "a-000003", 6)]).await, both);
    // Both again, each alone: the same is said once more, and nothing else.
    assert_eq!(told(&writer, world, vec![debit(1, 1)], vec![]).await, first);
    assert_eq!(told(&writer, world, vec![], vec![link("R1", "a-000001", 2)]).await, first);
    // More than one statement reads.
    let many: Vec<CanonicalChange> = (1_000..2_200).map(|n| debit(n, 7)).collect();
    let links: Vec<PostingLink> = (1_000..2_200).map(|n| link(&format!("M{n}"), &format!("a-{n:06}"), 7)).collect();
    assert_eq!(told(&writer, world, many, vec![]).await, nothing);
    assert_eq!(told(&writer, world, vec![], links).await.len(), 1_200);
}

async fn one_link(world: &mut World) {
    let writer = world.writer.clone();
    let two = vec![link("LATER", "a-000001", 9), link("FIRST", "a-000001", 8)];
    told(&writer, world, vec![], two).await;
    told(&writer, world, vec![], vec![link("OTHER", "a-000001", 1)]).await;
    assert_eq!(told(&writer, world, vec![debit(1, 1)], vec![]).await, ["FIRST debit a -5 1 a-000001"]);
    let again = told(&writer, world, vec![debit(1, 1)], vec![link("THIRD", "a-000001", 10)]).await;
    assert_eq!(again, ["FIRST debit a -5 1 a-000001"]);
}

async fn ended(world: &mut World) {
    let writer = world.writer.clone();
    world.apply(vec![account("a", "c", 1)]).await;
    told(&writer, world, vec![debit(1, 1)], vec![]).await;
    told(&writer, world, vec![no_more(debit(1, 1), 2)], vec![]).await;
    let page = world.reader().transactions(&Grant::Any, "a", &TransactionFilter::default(), &Floor::none()).await;
    assert_eq!(page.unwrap().value.transactions.len(), 0, "it is shown to nobody");
    let link_of = |n: i64| vec![link(&format!("R{n}"), &format!("a-{n:06}"), 9)];
    assert_eq!(told(&writer, world, vec![], link_of(1)).await, ["R1 debit a -5 1 a-000001"]);
    // Begun and ended in one batch.
    told(&writer, world, vec![debit(2, 3), no_more(debit(2, 3), 4)], vec![]).await;
    assert_eq!(told(&writer, world, vec![], link_of(2)).await, ["R2 debit a -5 2 a-000002"]);
    // Of a row that was deleted nothing is known.
    told(&writer, world, vec![debit(3, 5)], vec![]).await;
    told(&writer, world, vec![delete(Entity::Transaction, "a-000003", 6)], vec![]).await;
    let nothing: [&str; 0] = [];
    assert_eq!(told(&writer, world, vec![], link_of(3)).await, nothing);
}

async fn generations(world: &mut World) {
    let served = world.writer.clone();
    world.apply(vec![account("a", "c", 1)]).await;
    told(&served, world, vec![debit(1, 1)], vec![link("OLD", "a-000001", 2), link("OLD", "a-000002", 2)]).await;
    assert_eq!(open_generation(&world.db, "bank", None).await.unwrap(), Some(2));
    let shadow = Writer::shadow("bank", 2);
    let nothing: [&str; 0] = [];
    assert_eq!(told(&shadow, world, vec![], vec![link("NEW", "a-000001", 3)]).await, nothing, "no such posting yet");
    assert_eq!(told(&shadow, world, vec![debit(1, 1)], vec![]).await, ["NEW debit a -5 1 a-000001"]);
    assert_eq!(told(&shadow, world, vec![debit(2, 1)], vec![]).await, nothing);
    let left = async |generation: i64| {
        let sql =
            "SELECT COUNT(*) AS n FROM posting_links l JOIN datasets d ON d.dataset = l.dataset WHERE d.generation = ?";
        world.db.query(sql, vec![generation.into()]).await.unwrap()[0].get::<i64>("n").unwrap()
    };
    assert_eq!((left(1).await, left(2).await), (2, 1));
    world.db.exec("UPDATE sources SET generation = 2, served_at_ms = 1 WHERE source = 'bank'", vec![]).await.unwrap();
    let mut sweep = Sweep::due(&world.db, "bank", 0).await.unwrap().unwrap();
    while sweep.step(&world.db).await.unwrap() {}
    assert_eq!((left(1).await, left(2).await), (0, 1));
}

async fn named(world: &mut World) {
    let writer = world.writer.clone();
    world.apply(vec![account("a", "c", 1)]).await;
    told(&writer, world, vec![debit(1, 1), debit(2, 2)], vec![link("R1", "a-000001", 3)]).await;
    let found = world
        .db
        .transaction(|tx| Box::pin(async move { postings(tx, &["a-000001".to_owned(), "a-000002".to_owned()]).await }));
    let mut found: Vec<_> = found.await.unwrap().into_iter().map(|row| (row.transaction_id, row.core_ref)).collect();
    found.sort();
    assert_eq!(found, [("a-000001".to_owned(), Some("R1".to_owned())), ("a-000002".to_owned(), None)]);
}
