//! Which Kafka topics belong to a source.

/// Debezium's heartbeat topics are this and the connector's prefix.
const HEARTBEATS: &str = "__debezium-heartbeat.";

/// True for a topic of heartbeats. The topic decides, because a row of a table could look like a heartbeat.
pub(crate) fn is_heartbeat(topic: &str) -> bool {
    topic.starts_with(HEARTBEATS)
}

/// True for a topic of one of the mapped tables, `PREFIX.DATABASE.TABLE`: not heartbeats, not `PREFIX.transaction`.
pub(crate) fn is_table(topic: &str, mut tables: impl Iterator<Item = String>) -> bool {
    let named = |table: String| topic.strip_suffix(&table).is_some_and(|rest| rest.ends_with('.'));
    !is_heartbeat(topic) && topic.splitn(3, '.').count() == 3 && tables.any(named)
}

/// The topics of one Debezium connector: `PREFIX.DATABASE.TABLE` of mapped tables, its heartbeats, its transactions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicFilter {
    prefix: String,
    /// None = whatever tables there are.
    tables: Option<Vec<String>>,
}

impl TopicFilter {
    /// `tables` as a mapping names them: `table` in any database, or `database.table`.
    pub fn new(prefix: &str, tables: impl IntoIterator<Item = String>) -> Self {
        Self { prefix: prefix.to_owned(), tables: Some(tables.into_iter().collect()) }
    }

    /// Every table that the connector has a topic for.
    pub fn all(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned(), tables: None }
    }

    /// True for a topic of the source.
    pub fn admits(&self, topic: &str) -> bool {
        if let Some(rest) = topic.strip_prefix(HEARTBEATS) {
            return rest == self.prefix;
        }
        let Some(rest) = topic.strip_prefix(&self.prefix).and_then(|rest| rest.strip_prefix('.')) else { return false };
        let table = rest.split_once('.').map(|(_, table)| table);
        let named = |tables: &Vec<String>| tables.iter().any(|mapped| mapped == rest || Some(mapped.as_str()) == table);
        rest == "transaction" || self.tables.as_ref().map_or(table.is_some(), named)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_topics_of_rows_hold_a_snapshot() {
        let holds =
            |topic: &str| is_table(topic, ["accounts", "bank.cards", "transaction"].map(str::to_owned).into_iter());
        assert!(["core.bank.accounts", "core.bank.cards", "a.core.bank.transaction"].into_iter().all(holds));
        let others = ["core.transaction", "a.b.beats", "__debezium-heartbeat.core", "__debezium-heartbeat.a.accounts"];
        assert!(!others.into_iter().chain(["change-log", "core.bank.my_accounts"]).any(holds));
    }

    #[test]
    fn topics_of_mapped_tables_heartbeats_and_transactions_are_read_and_no_others() {
        let filter = TopicFilter::new("core", ["accounts".to_owned(), "bank.cards".to_owned()]);
        let admitted = ["core.any.accounts", "core.bank.cards", "core.transaction", "__debezium-heartbeat.core"];
        assert!(admitted.iter().all(|topic| filter.admits(topic)));
        let refused = [
            "core",
            "core.any.cards",
            "core2.any.accounts",
            "core.any.accounts2",
            "__debezium-heartbeat.core2",
            "__debezium-history.core",
            "accounts",
        ];
        assert!(!refused.iter().any(|topic| filter.admits(topic)));
        let all = TopicFilter::all("core");
        assert!(all.admits("core.any.cards") && all.admits("core.transaction"));
        assert!(!all.admits("core2.any.cards") && !all.admits("core") && !all.admits("core.cards"));
    }
}
