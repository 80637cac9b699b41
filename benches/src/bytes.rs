//! What rows of the journal take on the SQL server's disk.

use locum_tests::stack::connect;
use locum_tests::world::World;
use mysql_async::prelude::Queryable;

/// Tables that grow with each write, with the rows that one write has in them at the end of its life: accepted by stand-in, sent once,
/// posted, confirmed.
const TABLES: [(&str, u64); 4] = [("entries", 1), ("legs", 2), ("attempts", 1), ("transitions", 4)];

/// Bytes a row of each table, with its indexes, as the server accounts for them; and what they come to for one write.
pub async fn of_a_write(world: &World) -> anyhow::Result<String> {
    let mut sql = connect(&world.journal_url()).await?;
    let (mut parts, mut whole) = (Vec::new(), 0.0);
    for (table, rows_each) in TABLES {
        sql.query_drop(format!("ANALYZE TABLE {table}")).await?;
        let rows: u64 = sql.query_first(format!("SELECT COUNT(*) FROM {table}")).await?.unwrap_or(0);
        let size = "SELECT CAST(data_length + index_length AS SIGNED) FROM information_schema.tables \
             WHERE table_schema = DATABASE() AND table_name = ?";
        let bytes: i64 = sql.exec_first(size, (table,)).await?.unwrap_or(0);
        let each = bytes as f64 / rows.max(1) as f64;
        parts.push(format!("{table} {each:.0} ({rows} rows)"));
        whole += each * rows_each as f64;
    }
    sql.disconnect().await?;
    Ok(format!("bytes a row on disk: {}; a write in its life: {whole:.0}", parts.join(", ")))
}
