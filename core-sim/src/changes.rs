//! The embedded core's change log: what Debezium's MariaDB connector would have put on Kafka, written in the transaction
//! that made the change (schemaless JSON, `decimal.handling.mode=precise`, `provide.transaction.metadata=true`).

use jiff::Timestamp;
use serde_json::{Value as Json, json};
use sql::{Error, Tx, Value, params};

use crate::account::{Account, PostingRow, date_days, moment_micros};

/// `topic.prefix` of the connector that this log stands for.
pub const TOPIC_PREFIX: &str = "core";
/// Database name in topics and in `source.db`.
pub const DATABASE: &str = "corebank";
/// `source.file` of every event.
pub const FILE: &str = "sim-bin.000001";
/// Rows of the log written by one statement.
const ROWS_PER_INSERT: usize = 500;

/// One changed row.
pub(crate) struct Change {
    pub table: &'static str,
    pub key: Json,
    pub before: Json,
    pub after: Json,
}

/// How the events of one transaction present themselves.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A committed transaction read from the log: op `c` or `u`, between BEGIN and END.
    Streamed,
    /// Rows read by the initial snapshot: op `r`, without transaction.
    Snapshot,
}

/// Appends the events of one transaction and returns the last position. Only inside the transaction that makes the changes.
pub(crate) async fn record(tx: &mut Tx, now: Timestamp, kind: Kind, changes: &[Change]) -> Result<i64, Error> {
    let mut log = Log { position: last_position(tx).await?, rows: Vec::new(), now };
    match kind {
        Kind::Snapshot => changes.iter().for_each(|change| log.row(change, Some(()), None)),
        Kind::Streamed => {
            let id = format!("file={FILE},pos={}", log.position + 1);
            log.boundary(&id, None);
            for (order, change) in changes.iter().enumerate() {
                let in_table = changes[..=order].iter().filter(|other| other.table == change.table).count();
                let transaction = json!({"id": id, "total_order": order + 1, "data_collection_order": in_table});
                log.row(change, None, Some(transaction));
            }
            log.boundary(&id, Some(changes));
        }
    }
    log.write(tx).await
}

/// Replaces the previous heartbeat by one of now; returns its position.
pub(crate) async fn heartbeat(tx: &mut Tx, now: Timestamp) -> Result<i64, Error> {
    let topic = format!("__debezium-heartbeat.{TOPIC_PREFIX}");
    let mut log = Log { position: last_position(tx).await?, rows: Vec::new(), now };
    // Only the last record can be a spent heartbeat worth the look: what follows it keeps it from being the newest.
    tx.exec("DELETE FROM change_log WHERE position = ? AND topic = ?", params![log.position, &topic]).await?;
    let (key, value) = (json!({"serverName": TOPIC_PREFIX}), json!({"ts_ms": now.as_millisecond()}));
    log.push(topic, &key, &value);
    log.write(tx).await
}

async fn last_position(tx: &mut Tx) -> Result<i64, Error> {
    let rows = tx.query("SELECT COALESCE(MAX(position), 0) AS position FROM change_log", vec![]).await?;
    rows.first().map_or(Ok(0), |row| row.get("position"))
}

struct Log {
    position: i64,
    rows: Vec<(i64, String, String, String)>,
    now: Timestamp,
}

impl Log {
    fn push(&mut self, topic: String, key: &Json, value: &Json) {
        self.position += 1;
        self.rows.push((self.position, topic, key.to_string(), value.to_string()));
    }

    fn row(&mut self, change: &Change, snapshot: Option<()>, transaction: Option<Json>) {
        let op = match (snapshot, change.before.is_null()) {
            (Some(()), _) => "r",
            (None, true) => "c",
            (None, false) => "u",
        };
        let (ms, us, ns) = (self.now.as_millisecond(), self.now.as_microsecond(), self.now.as_nanosecond() as i64);
        let source = json!({
            "version": "3.5.0.Final", "connector": "mariadb", "name": TOPIC_PREFIX, "ts_ms": ms, "ts_us": us,
            "ts_ns": ns, "snapshot": if snapshot.is_some() { "true" } else { "false" }, "db": DATABASE,
            "sequence": null, "table": change.table, "server_id": 1, "gtid": null, "file": FILE,
            "pos": self.position + 1, "row": 0, "thread": null, "query": null,
        });
        let value = json!({
            "before": change.before, "after": change.after, "source": source, "transaction": transaction, "op": op,
            "ts_ms": ms, "ts_us": us, "ts_ns": ns,
        });
        self.push(format!("{TOPIC_PREFIX}.{DATABASE}.{}", change.table), &change.key, &value);
    }

    /// BEGIN without changes, END with them.
    fn boundary(&mut self, id: &str, changes: Option<&[Change]>) {
        let collections = changes.map(|changes| {
            let mut counts: Vec<(&str, usize)> = Vec::new();
            for change in changes {
                match counts.iter_mut().find(|(table, _)| *table == change.table) {
                    Some((_, count)) => *count += 1,
                    None => counts.push((change.table, 1)),
                }
            }
            let show = |(table, n): &(&str, usize)| json!({"data_collection": format!("{DATABASE}.{table}"), "event_count": n});
            counts.iter().map(show).collect::<Vec<_>>()
        });
        let value = json!({
            "status": if changes.is_some() { "END" } else { "BEGIN" }, "id": id,
            "event_count": changes.map(<[Change]>::len), "data_collections": collections,
            "ts_ms": self.now.as_millisecond(),
        });
        self.push(format!("{TOPIC_PREFIX}.transaction"), &json!({"id": id}), &value);
    }

    async fn write(self, tx: &mut Tx) -> Result<i64, Error> {
        for chunk in self.rows.chunks(ROWS_PER_INSERT) {
            let sql = format!(
                "INSERT INTO change_log (position, topic, key_json, value_json) VALUES {}",
                sql::rows(chunk.len(), 4)
            );
            let values = chunk.iter().flat_map(|(position, topic, key, value)| {
                [Value::from(*position), topic.into(), key.into(), value.into()]
            });
            tx.exec(&sql, values.collect()).await?;
        }
        Ok(self.position)
    }
}

impl Change {
    pub(crate) fn of_account(before: Option<&Account>, after: &Account) -> Self {
        Self {
            table: "accounts",
            key: json!({"account_no": after.account_no}),
            before: before.map_or(Json::Null, account),
            after: account(after),
        }
    }

    pub(crate) fn of_posting(row: &PostingRow) -> Self {
        Self {
            table: "postings",
            key: json!({"account_no": row.account_no, "posting_no": row.posting_no}),
            before: Json::Null,
            after: json!({
                "account_no": row.account_no, "posting_no": row.posting_no, "ext_ref": row.ext_ref, "leg": row.leg,
                "amount": decimal(row.amount), "ccy": row.ccy, "booked_at": moment_micros(&row.booked_at),
                "value_date": date_days(&row.value_date), "text": row.text,
            }),
        }
    }

    pub(crate) fn of_customer(customer_no: &str, name: &str) -> Self {
        Self {
            table: "customers",
            key: json!({"customer_no": customer_no}),
            before: Json::Null,
            after: json!({"customer_no": customer_no, "name": name}),
        }
    }
}

fn account(row: &Account) -> Json {
    json!({
        "account_no": row.account_no, "owner": row.owner, "ccy": row.ccy, "status": row.status,
        "balance": decimal(row.balance), "overdraft": decimal(row.overdraft), "held": decimal(row.held),
        "last_posting": row.last_posting, "opened": date_days(&row.opened), "updated": moment_micros(&row.updated),
    })
}

/// `org.apache.kafka.connect.data.Decimal` in JSON: base64 of the unscaled value, big-endian two's complement, as short as can be.
fn decimal(minor: i64) -> String {
    use base64::Engine;
    let bytes = minor.to_be_bytes();
    let sign = if minor < 0 { 0xFF } else { 0 };
    let spare = bytes.windows(2).take_while(|pair| pair[0] == sign && (pair[1] ^ sign) & 0x80 == 0).count();
    base64::engine::general_purpose::STANDARD.encode(&bytes[spare..])
}

#[cfg(test)]
mod tests {
    use super::decimal;

    #[test]
    fn decimals_are_the_shortest_twos_complement_as_java_writes_it() {
        for (minor, text) in
            [(0, "AA=="), (127, "fw=="), (128, "AIA="), (-1, "/w=="), (-128, "gA=="), (-129, "/38="), (100_000, "AYag")]
        {
            assert_eq!(decimal(minor), text, "{minor}");
        }
        assert_eq!(decimal(i64::MIN), "gAAAAAAAAAA=");
    }
}
