//! Writes of many rows at once, rendered for either dialect: [`Upsert`] and [`BatchUpdate`].

use crate::dialect::{Dialect, placeholders, rows};
use crate::error::Error;
use crate::lists::{filled, repeating_last};
use crate::value::Value;

/// What an [`Upsert`] does with a row whose key is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// Leave it as it is. Most engines lock it all the same, but none promises so: what must be locked is to be read `FOR UPDATE`.
    KeepExisting,
    /// Overwrite every column outside the key.
    Replace,
    /// Overwrite every column outside the key only if the named column's new value is greater (bytes: memcmp; integers: <).
    /// Rows converge to the greatest version under any order and duplication.
    Newer(&'static str),
}

/// Rows to insert or merge, in the order given (locks are taken in that order).
/// Only for tables whose single unique index is `key`: MySQL engines merge on *any* unique index, SQLite refuses.
/// Affected-row counts differ between engines here; never decide by them, read back instead.
#[derive(Debug, Clone)]
pub struct Upsert {
    table: &'static str,
    columns: &'static [&'static str],
    key: &'static [&'static str],
    policy: Policy,
    /// Of this column the first value stays that is not null.
    first: Option<&'static str>,
    rows: Vec<Vec<Value>>,
}

impl Upsert {
    /// Names are statement text and must be constants of ours, hence `'static`.
    pub fn new(
        table: &'static str,
        columns: &'static [&'static str],
        key: &'static [&'static str],
        policy: Policy,
    ) -> Self {
        Upsert { table, columns, key, policy, first: None, rows: Vec::new() }
    }

    /// A row that is overwritten keeps what it has in this column, unless that is null.
    pub fn keeping_first(mut self, column: &'static str) -> Self {
        self.first = Some(column);
        self
    }

    /// Adds one row, values in the order of the columns.
    pub fn row(mut self, values: Vec<Value>) -> Self {
        self.push(values);
        self
    }

    /// Adds one row, values in the order of the columns.
    pub fn push(&mut self, values: Vec<Value>) {
        self.rows.push(values);
    }

    /// Number of rows so far.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// True without rows; running it then is a no-op.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The statement's text for `count` rows.
    pub fn render(&self, dialect: Dialect, count: usize) -> String {
        let (table, columns, groups) = (self.table, self.columns.join(", "), rows(count, self.columns.len()));
        let insert = format!("INSERT INTO {table} ({columns}) VALUES {groups}");
        match dialect {
            Dialect::MySql => format!("{insert} ON DUPLICATE KEY UPDATE {}", self.mysql_merge()),
            Dialect::Sqlite => {
                format!("{insert} ON CONFLICT ({}) DO UPDATE SET {}", self.key.join(", "), self.sqlite_merge())
            }
        }
    }

    /// Columns that a merge overwrites, the version last: MySQL assigns from left to right, and every
    /// condition must still see the old version.
    fn merged(&self) -> Vec<&'static str> {
        let mut merged: Vec<_> = self.columns.iter().copied().filter(|c| !self.key.contains(c)).collect();
        if let Policy::Newer(version) = self.policy {
            merged.sort_by_key(|c| *c == version);
        }
        merged
    }

    fn keeps(&self) -> bool {
        self.policy == Policy::KeepExisting || self.merged().is_empty()
    }

    fn mysql_merge(&self) -> String {
        if self.keeps() {
            return format!("{k} = {k}", k = self.key[0]);
        }
        let given = |c: &str| match self.first == Some(c) {
            true => format!("COALESCE({c}, VALUES({c}))"),
            false => format!("VALUES({c})"),
        };
        let assign = |c: &str| match self.policy {
            Policy::Newer(v) => format!("{c} = IF(VALUES({v}) > {v}, {}, {c})", given(c)),
            _ => format!("{c} = {}", given(c)),
        };
        self.merged().into_iter().map(assign).collect::<Vec<_>>().join(", ")
    }

    fn sqlite_merge(&self) -> String {
        if self.keeps() {
            return format!("{k} = {k}", k = self.key[0]);
        }
        let given = |c: &str| match self.first == Some(c) {
            true => format!("COALESCE({}.{c}, excluded.{c})", self.table),
            false => format!("excluded.{c}"),
        };
        let assigned: Vec<_> = self.merged().into_iter().map(|c| format!("{c} = {}", given(c))).collect();
        let assigned = assigned.join(", ");
        match self.policy {
            Policy::Newer(v) => format!("{assigned} WHERE excluded.{v} > {}.{v}", self.table),
            _ => assigned,
        }
    }

    pub(crate) fn statements(mut self, dialect: Dialect) -> Result<Vec<Statement>, Error> {
        check_width(&self.rows, self.columns.len(), self.table)?;
        let rows = std::mem::take(&mut self.rows);
        let statement = |values: Vec<Vec<Value>>| Statement {
            sql: self.render(dialect, values.len()),
            params: values.into_iter().flatten().collect(),
        };
        Ok(chunks(rows, self.columns.len()).0.into_iter().map(statement).collect())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Key,
    Set,
    Add,
    Guard,
}

impl Role {
    /// Prefix of the column in the table of given values, so that one column may be guarded *and* set.
    fn prefix(self) -> &'static str {
        match self {
            Role::Key => "key_",
            Role::Set => "new_",
            Role::Add => "add_",
            Role::Guard => "old_",
        }
    }
}

/// `UPDATE` of many rows with a value each. Declare columns in any order, then add rows with their values in that order.
/// The result counts *matched* rows: fewer than the rows given means that a guard or a key did not match.
/// No key may occur twice in one batch. Rows of nulls, which match nothing, fill it up to one of few lengths.
#[derive(Debug, Clone)]
pub struct BatchUpdate {
    table: &'static str,
    columns: Vec<(Role, &'static str)>,
    rows: Vec<Vec<Value>>,
}

impl BatchUpdate {
    /// An update of `table` without columns yet.
    pub fn new(table: &'static str) -> Self {
        BatchUpdate { table, columns: Vec::new(), rows: Vec::new() }
    }

    fn column(mut self, role: Role, name: &'static str) -> Self {
        self.columns.push((role, name));
        self
    }

    /// A column that identifies the row.
    pub fn key(self, name: &'static str) -> Self {
        self.column(Role::Key, name)
    }

    /// A column that becomes the value given.
    pub fn set(self, name: &'static str) -> Self {
        self.column(Role::Set, name)
    }

    /// A column to which the value given is added.
    #[allow(clippy::should_implement_trait, reason = "`add` is the word of the domain, beside `set`")]
    pub fn add(self, name: &'static str) -> Self {
        self.column(Role::Add, name)
    }

    /// A column that must equal the value given, or the row is not matched.
    pub fn guard(self, name: &'static str) -> Self {
        self.column(Role::Guard, name)
    }

    /// Adds one row, values in the order of the declared columns.
    pub fn row(mut self, values: Vec<Value>) -> Self {
        self.push(values);
        self
    }

    /// Adds one row, values in the order of the declared columns.
    pub fn push(&mut self, values: Vec<Value>) {
        self.rows.push(values);
    }

    /// Number of rows so far: what the matched count must be when every guard holds.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// True without rows; running it then is a no-op.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    fn with(&self, role: Role) -> impl Iterator<Item = &'static str> + '_ {
        self.columns.iter().filter(move |(r, _)| *r == role).map(|(_, name)| *name)
    }

    fn aliases(&self) -> Vec<String> {
        self.columns.iter().map(|(role, name)| format!("{}{name}", role.prefix())).collect()
    }

    fn assignments(&self, qualifier: &str) -> String {
        let table = self.table;
        let set = self.with(Role::Set).map(|c| format!("{qualifier}{c} = v.new_{c}"));
        let add = self.with(Role::Add).map(|c| format!("{qualifier}{c} = {table}.{c} + v.add_{c}"));
        set.chain(add).collect::<Vec<_>>().join(", ")
    }

    fn matches(&self) -> String {
        let table = self.table;
        let keys = self.with(Role::Key).map(|c| format!("{table}.{c} = v.key_{c}"));
        let guards = self.with(Role::Guard).map(|c| format!("{table}.{c} = v.old_{c}"));
        keys.chain(guards).collect::<Vec<_>>().join(" AND ")
    }

    /// The statement's text for these rows (the values tell each column's type).
    fn render(&self, dialect: Dialect, values: &[Vec<Value>]) -> String {
        match dialect {
            Dialect::MySql => self.render_mysql(values),
            Dialect::Sqlite => self.render_sqlite(values.len()),
        }
    }

    /// The given values drive the join, and the keys are repeated as a list: without the first, MariaDB scans (and locks,
    /// and so waits for) all rows of a small table; without the second, OceanBase scans them.
    fn render_mysql(&self, values: &[Vec<Value>]) -> String {
        let (table, aliases) = (self.table, self.aliases());
        let casts: Vec<_> = (0..aliases.len()).map(|i| cast(values, i)).collect();
        let named: Vec<_> = casts.iter().zip(&aliases).map(|(c, a)| format!("{c} AS {a}")).collect();
        let next = format!(" UNION ALL SELECT {}", casts.join(", "));
        let given = format!("SELECT {}{}", named.join(", "), next.repeat(values.len() - 1));
        let (on, set) = (self.matches(), self.assignments(&format!("{table}.")));
        let listed = self.listed_keys(values.len());
        format!("UPDATE ({given}) v STRAIGHT_JOIN {table} ON {on} SET {set} WHERE {listed}")
    }

    fn listed_keys(&self, count: usize) -> String {
        let keys: Vec<_> = self.with(Role::Key).map(|c| format!("{}.{c}", self.table)).collect();
        match keys.as_slice() {
            [key] => format!("{key} IN ({})", placeholders(count)),
            keys => format!("({}) IN ({})", keys.join(", "), rows(count, keys.len())),
        }
    }

    fn render_sqlite(&self, count: usize) -> String {
        let (table, aliases) = (self.table, self.aliases());
        let (names, given) = (aliases.join(", "), rows(count, aliases.len()));
        let (set, on) = (self.assignments(""), self.matches());
        format!("WITH v ({names}) AS (VALUES {given}) UPDATE {table} SET {set} FROM v WHERE {on}")
    }

    /// These rows, filled up to `count` rows.
    fn statement(&self, dialect: Dialect, mut values: Vec<Vec<Value>>, count: usize) -> Statement {
        let keys: Vec<Vec<Value>> = match dialect {
            Dialect::MySql => values.iter().map(|row| self.key_values(row)).collect(),
            Dialect::Sqlite => Vec::new(),
        };
        let keys = repeating_last(keys, count);
        values.resize(count, nulls(self.columns.len()));
        let sql = self.render(dialect, &values);
        Statement { sql, params: values.into_iter().chain(keys).flatten().collect() }
    }

    fn key_values(&self, row: &[Value]) -> Vec<Value> {
        self.values_of(row, |role| role == Role::Key)
    }

    fn values_of(&self, row: &[Value], wanted: impl Fn(Role) -> bool) -> Vec<Value> {
        let wanted = self.columns.iter().zip(row).filter(|((role, _), _)| wanted(*role));
        wanted.map(|(_, value)| value.clone()).collect()
    }

    /// The same as [`Self::statement`] without a derived table: each column becomes what a `CASE` over the keys says, for `count` rows.
    ///
    /// OceanBase plans a text anew for each choice of the parameters that are null. So none is: who is in no branch becomes null, and what
    /// fills up is there already, so it is never reached.
    fn statement_by_case(&self, rows: Vec<Vec<Value>>, count: usize) -> Statement {
        let table = self.table;
        let equal: Vec<_> = self.with(Role::Key).map(|key| format!("{table}.{key} = ?")).collect();
        let equal = equal.join(" AND ");
        let case = format!("CASE{} END", format!(" WHEN {equal} THEN ?").repeat(count));
        let (mut assignments, mut params) = (Vec::new(), Vec::new());
        for (n, (role, name)) in self.columns.iter().enumerate() {
            let given: Vec<&Vec<Value>> = rows.iter().filter(|row| row[n] != Value::Null).collect();
            let value = if given.is_empty() { "NULL" } else { &case };
            assignments.push(match role {
                Role::Key | Role::Guard => continue,
                Role::Set => format!("{name} = {value}"),
                Role::Add => format!("{name} = {table}.{name} + {value}"),
            });
            for row in repeating_last(given, count) {
                params.extend(self.key_values(row));
                params.push(row[n].clone());
            }
        }
        let rows = repeating_last(rows, count);
        params.extend(rows.iter().flat_map(|row| self.key_values(row)));
        let mut listed = self.listed_keys(count);
        let guards: Vec<_> = self.with(Role::Guard).map(|guard| format!("{table}.{guard} = ?")).collect();
        if !guards.is_empty() {
            let each = format!("({equal} AND {})", guards.join(" AND "));
            listed = format!("{listed} AND ({})", vec![each; count].join(" OR "));
            for row in &rows {
                params.extend(self.key_values(row));
                params.extend(self.values_of(row, |role| role == Role::Guard));
            }
        }
        Statement { sql: format!("UPDATE {table} SET {} WHERE {listed}", assignments.join(", ")), params }
    }

    /// Values that [`Self::statement_by_case`] binds for a row.
    fn width_by_case(&self) -> usize {
        let count = |wanted: Role| self.with(wanted).count();
        let keys = count(Role::Key);
        (count(Role::Set) + count(Role::Add)) * (keys + 1) + 2 * keys + count(Role::Guard)
    }

    /// `by_case`: see `Server::updates_by_case`.
    pub(crate) fn statements(mut self, dialect: Dialect, by_case: bool) -> Result<Vec<Statement>, Error> {
        check_width(&self.rows, self.columns.len(), self.table)?;
        if self.with(Role::Key).next().is_none() {
            return Err(Error::Configuration(format!("a batch update of {} without a key", self.table)));
        }
        let rows = std::mem::take(&mut self.rows);
        // Keys are bound twice on servers.
        let (chunks, most) = chunks(rows, if by_case { self.width_by_case() } else { self.columns.len() * 2 });
        let statement = |values: Vec<Vec<Value>>| {
            let count = filled(values.len()).min(most);
            if by_case { self.statement_by_case(values, count) } else { self.statement(dialect, values, count) }
        };
        Ok(chunks.into_iter().map(statement).collect())
    }
}

/// Types must not depend on how an engine guesses them for a bare `?` inside a derived table. Where there are only nulls, any type
/// takes them.
pub(crate) fn cast(values: &[Vec<Value>], column: usize) -> &'static str {
    match values.iter().map(|row| &row[column]).find(|v| **v != Value::Null) {
        Some(Value::Int(_)) => "CAST(? AS SIGNED)",
        Some(Value::Bytes(_)) => "CAST(? AS BINARY)",
        _ => "CAST(? AS CHAR)",
    }
}

/// One rendered statement with its parameters.
pub(crate) struct Statement {
    pub(crate) sql: String,
    pub(crate) params: Vec<Value>,
}

/// Most rows of one statement; more are split. Batches beyond this gain nothing on any engine measured.
const ROWS_MAX: usize = 1_000;
/// Most parameters of one statement: SQLite's limit is 32,766, MySQL's 65,535.
const PARAMS_MAX: usize = 32_000;

pub(crate) fn check_width(rows: &[Vec<Value>], width: usize, table: &str) -> Result<(), Error> {
    if rows.iter().all(|row| row.len() == width && width > 0) {
        return Ok(());
    }
    Err(Error::Configuration(format!("a row for {table} does not have {width} values")))
}

/// A row that stands for none.
pub(crate) fn nulls(width: usize) -> Vec<Value> {
    vec![Value::Null; width]
}

/// Splits rows so that a statement with `width` parameters per row stays within both limits; also answers how many rows that are.
pub(crate) fn chunks(mut rows: Vec<Vec<Value>>, width: usize) -> (Vec<Vec<Vec<Value>>>, usize) {
    let size = (PARAMS_MAX / width.max(1)).clamp(1, ROWS_MAX);
    let mut chunks = Vec::new();
    while !rows.is_empty() {
        let tail = rows.split_off(rows.len().min(size));
        chunks.push(std::mem::replace(&mut rows, tail));
    }
    (chunks, size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params;

    /// The kinds of the parameters of each text: OceanBase plans each choice of kinds anew.
    fn kinds(statement: &Statement) -> (String, Vec<std::mem::Discriminant<Value>>) {
        (statement.sql.clone(), statement.params.iter().map(std::mem::discriminant).collect())
    }

    #[test]
    fn a_column_that_keeps_its_first_value_is_overwritten_only_while_it_is_null() {
        const COLUMNS: &[&str] = &["k", "v", "p"];
        let upsert = Upsert::new("t", COLUMNS, &COLUMNS[..1], Policy::Newer("v")).keeping_first("p");
        let mysql = upsert.render(Dialect::MySql, 1);
        let merge = "UPDATE p = IF(VALUES(v) > v, COALESCE(p, VALUES(p)), p), v = IF(VALUES(v) > v, VALUES(v), v)";
        assert!(mysql.ends_with(merge), "{mysql}");
        let sqlite = upsert.render(Dialect::Sqlite, 1);
        assert!(
            sqlite.ends_with("SET p = COALESCE(t.p, excluded.p), v = excluded.v WHERE excluded.v > t.v"),
            "{sqlite}"
        );
    }

    #[test]
    fn an_update_by_case_has_one_choice_of_kinds_for_a_text_whatever_is_null_and_however_many_rows_fill_it_up() {
        let update = BatchUpdate::new("t").key("id").guard("version").set("reason").add("sum");
        let mut seen = std::collections::BTreeMap::new();
        for n in 1..=16_usize {
            for nulls in 0..n {
                let row = |i: usize| {
                    let reason = if i < nulls { Value::Null } else { Value::from(format!("r{i}")) };
                    vec![Value::from(format!("k{i}")), Value::from(1_i64), reason, Value::from(i as i64)]
                };
                let statement = update.statement_by_case((0..n).map(row).collect(), filled(n));
                let (sql, kinds) = kinds(&statement);
                assert!(!statement.params.contains(&Value::Null));
                assert_eq!(*seen.entry(sql).or_insert_with(|| kinds.clone()), kinds, "{n} rows, {nulls} nulls");
            }
        }
        assert_eq!(seen.len(), 3, "for 1, 4 and 16 rows");
        let all_null = update.statement_by_case(vec![params!["k", 1, Value::Null, 5]], 1);
        assert!(
            all_null.sql.contains("reason = NULL, sum = t.sum + CASE WHEN t.id = ? THEN ? END"),
            "{}",
            all_null.sql
        );
        assert_eq!(all_null.params, params!["k", 5, "k", "k", 1]);
    }
}
