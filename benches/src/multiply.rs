//! A long queue, by SQL from a short one that came in by the front door: rows of the same shape, as if the same writes had come again and again.
//!
//! Each copy has an id, a key and a reference of its own, the next places in its lanes, and its admission's line of history. What its lanes hold
//! and what its day used grows with it. No Locum runs meanwhile, and the limits and funds that admission checks leave room for all copies.

use anyhow::Context;
use locum_tests::stack::connect;
use locum_tests::world::{Engine, World};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, params};

/// The copies' ids, which are ordered by time, are so many milliseconds apart: longer than the templates took to come in.
const APART_MS: usize = 60_000;

/// What is queued now, and what it takes in each lane. The columns keep their types.
const TEMPLATES: [&str; 4] = [
    "CREATE TABLE bench_templates AS SELECT id, id AS copy_id FROM entries WHERE state = 'queued'",
    "CREATE UNIQUE INDEX bench_templates_by_id ON bench_templates (id)",
    "CREATE TABLE bench_lanes AS SELECT l.account AS account, COUNT(*) AS places, SUM(l.in_order) AS ordered, \
     SUM(CASE WHEN l.kind = 'debit' THEN l.amount_minor ELSE 0 END) AS debited, \
     SUM(CASE WHEN l.kind = 'debit' THEN 1 ELSE 0 END) AS debits \
     FROM bench_templates t JOIN legs l ON l.entry_id = t.id GROUP BY l.account",
    "CREATE UNIQUE INDEX bench_lanes_by_account ON bench_lanes (account)",
];
/// The first twelve digits of an id are its milliseconds.
const NAME: &str = "UPDATE bench_templates SET copy_id = CONCAT(LPAD(LOWER(CONV(CAST(CONV(SUBSTR(id, 1, 12), 16, 10) AS SIGNED) + ?, 10, 16)), \
     12, '0'), SUBSTR(id, 13))";
const ENTRIES: &str = "INSERT INTO entries (id, generation, version, principal, operation, idempotency_key, fingerprint, core, core_ref, \
     command, state, ordered, contradicted, reason, core_id, accepted_us, business_day, updated_us, decision, reserved_day) \
     SELECT t.copy_id, e.generation, e.version, e.principal, e.operation, t.copy_id, e.fingerprint, e.core, CONCAT('LC', UPPER(t.copy_id)), \
     e.command, e.state, e.ordered, e.contradicted, e.reason, e.core_id, e.accepted_us, e.business_day, e.updated_us, e.decision, \
     e.reserved_day FROM bench_templates t JOIN entries e ON e.id = t.id";
const LEGS: &str = "INSERT INTO legs (entry_id, leg, account, seq, open, in_order, kind, amount_minor, currency, posting_no, row_key, \
     released_at) SELECT t.copy_id, l.leg, l.account, l.seq + ? * n.places, l.open, l.in_order, l.kind, l.amount_minor, l.currency, \
     l.posting_no, l.row_key, l.released_at FROM bench_templates t JOIN legs l ON l.entry_id = t.id JOIN bench_lanes n ON n.account = l.account";
const TRANSITIONS: &str = "INSERT INTO transitions (entry_id, version, at_us, state, evidence, actor) \
     SELECT t.copy_id, x.version, x.at_us, x.state, x.evidence, x.actor FROM bench_templates t JOIN transitions x ON x.entry_id = t.id";
const LANES: &str = "UPDATE lanes n JOIN bench_lanes b ON b.account = n.account SET n.version = n.version + :copies, \
     n.next_seq = n.next_seq + :copies * b.places, n.ordered = n.ordered + :copies * b.ordered, \
     n.held_minor = n.held_minor + :copies * b.debited, n.used_minor = n.used_minor + :copies * b.debited, \
     n.used_count = n.used_count + :copies * b.debits";
/// Templates whose reference is not made as those of the copies are, or whose places are not one behind the other.
const UNLIKE: &str = "SELECT COUNT(*) FROM bench_templates t JOIN entries e ON e.id = t.id \
     WHERE e.core_ref <> CONCAT('LC', UPPER(e.id)) OR e.version <> 1 OR e.ordered <> 1";
const GAPS: &str = "SELECT COUNT(*) FROM (SELECT l.account AS account, MIN(l.seq) AS lowest, COUNT(*) AS places FROM bench_templates t \
     JOIN legs l ON l.entry_id = t.id GROUP BY l.account) b JOIN lanes n ON n.account = b.account WHERE b.lowest + b.places <> n.next_seq";
const QUEUED: &str = "SELECT COUNT(*) FROM entries WHERE state = 'queued'";

/// Multiplies the queue by adding so many copies of it. One transaction a copy; the lanes in the end. Answers how many entries were added.
pub async fn multiply(world: &World, engine: Engine, copies: usize) -> anyhow::Result<u64> {
    let mut sql = connect(&world.journal_url()).await?;
    if engine == Engine::OceanBase {
        // It ends a statement after ten seconds by default.
        sql.query_drop("SET SESSION ob_query_timeout = 600000000, ob_trx_timeout = 600000000").await?;
    }
    for statement in TEMPLATES {
        sql.query_drop(statement).await.with_context(|| statement.to_owned())?;
    }
    let templates = counted(&mut sql, QUEUED).await?;
    expect(&mut sql, UNLIKE, 0).await?;
    expect(&mut sql, GAPS, 0).await?;
    for copy in 1..=copies {
        let added = add(&mut sql, copy).await.with_context(|| format!("copy {copy} of {copies} of the queue"))?;
        anyhow::ensure!(added == templates, "copy {copy} of the queue has {added} entries, not {templates}");
        if copy % 20 == 0 {
            println!("{} entries are queued", (copy as u64 + 1) * templates);
        }
    }
    let values = params! { "copies" => copies };
    sql.exec_drop(LANES, values).await.context("the lanes of the copies")?;
    let added = copies as u64 * templates;
    expect(&mut sql, QUEUED, templates + added).await?;
    sql.disconnect().await?;
    Ok(added)
}

/// Adds one copy; answers how many entries it has.
async fn add(sql: &mut Conn, copy: usize) -> anyhow::Result<u64> {
    sql.exec_drop(NAME, (copy * APART_MS,)).await.context("its ids")?;
    sql.query_drop("START TRANSACTION").await?;
    sql.query_drop(ENTRIES).await.context("its entries")?;
    let added = sql.affected_rows();
    sql.exec_drop(LEGS, (copy,)).await.context("its legs")?;
    sql.query_drop(TRANSITIONS).await.context("its transitions")?;
    sql.query_drop("COMMIT").await?;
    Ok(added)
}

async fn counted(sql: &mut Conn, count: &str) -> anyhow::Result<u64> {
    let counted = sql.query_first(count).await.with_context(|| count.to_owned())?;
    counted.with_context(|| format!("no row: {count}"))
}

async fn expect(sql: &mut Conn, count: &str, wanted: u64) -> anyhow::Result<()> {
    let counted = counted(sql, count).await?;
    anyhow::ensure!(counted == wanted, "{counted} instead of {wanted}: {count}");
    Ok(())
}
