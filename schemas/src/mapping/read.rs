//! From the YAML tree to a checked mapping.

use jiff::tz::TimeZone;

use super::node::{Members, Node, Problems, Value};
use super::{
    AccountFields, Amount, AmountFormat, BalanceFields, Codes, Confirms, CustomerFields, Id, Mapping, MappingErrors,
    MappingIssue, Predicate, Table, Time, TransactionFields,
};
use crate::debezium::Connector;
use crate::decimal::{DecimalFormat, SCALE_MAX};
use crate::entry::LegKind;
use crate::model::AccountState;
use crate::temporal::TimeFormat;

pub(super) fn mapping(yaml: &str) -> Result<Mapping, MappingErrors> {
    let root: Node = serde_saphyr::from_str(yaml).map_err(|err| {
        let line = err.location().map_or(0, |location| location.line());
        MappingErrors(vec![MappingIssue {
            line,
            at: "mapping".to_owned(),
            problem: format!("no valid YAML: {}", err.without_snippet()),
        }])
    })?;
    let mut problems = Problems::default();
    let mapping = read_root(&root, &mut problems);
    let mut issues = problems.0;
    match mapping {
        Some(mapping) if issues.is_empty() => Ok(mapping),
        _ => {
            issues.sort_by_key(|issue| issue.line);
            Err(MappingErrors(issues))
        }
    }
}

fn read_root(root: &Node, problems: &mut Problems) -> Option<Mapping> {
    let mut members = Members::of(root, "", problems)?;
    let source = members.need("source", problems).and_then(|n| problems.text(n, "source"));
    let connector = members.need("connector", problems).and_then(|n| {
        let name = problems.text(n, "connector")?;
        let connector = Connector::parse(&name);
        if connector.is_none() {
            problems.add(n.line, "connector", "expected mariadb, mysql or postgresql");
        }
        connector
    });
    let database = members.take("database").and_then(|n| problems.text(n, "database"));
    let zone = match members.take("zone") {
        None => Some(TimeZone::UTC),
        Some(node) => zone(node, problems),
    };
    let tables = match members.need("tables", problems) {
        Some(Node { value: Value::Map(tables), .. }) if !tables.is_empty() => {
            Some(tables.iter().filter_map(|(name, node)| table(name, node, database.as_deref(), problems)).collect())
        }
        Some(node) => {
            problems.add(node.line, "tables", "expected at least one table");
            None
        }
        None => None,
    };
    members.finish(problems);
    Some(Mapping { source: source?, connector: connector?, zone: zone?, tables: tables? })
}

fn zone(node: &Node, problems: &mut Problems) -> Option<TimeZone> {
    let name = problems.text(node, "zone")?;
    if name == "UTC" {
        return Some(TimeZone::UTC);
    }
    let zone = TimeZone::get(&name).ok();
    if zone.is_none() {
        problems.add(node.line, "zone", "unknown time zone (expected a name such as Europe/Berlin)");
    }
    zone
}

fn table(name: &str, node: &Node, database: Option<&str>, problems: &mut Problems) -> Option<Table> {
    let (database, bare) = match name.split_once('.') {
        Some((database, bare)) => (Some(database), bare),
        None => (database, name),
    };
    let mut members = Members::of(node, &format!("tables.{name}"), problems)?;
    let mut reader = Fields { problems, personal: Vec::new() };
    let key_at = members.path("key");
    let key = members.need("key", reader.problems).and_then(|n| reader.problems.texts(n, &key_at));
    let customer = reader.section(&mut members, "customer", Fields::customer);
    let account = reader.section(&mut members, "account", Fields::account);
    let balance = reader.section(&mut members, "balance", Fields::balance);
    let transaction = reader.section(&mut members, "transaction", Fields::transaction);
    let confirms = reader.section(&mut members, "confirms", Fields::confirms);
    let personal = reader.personal;
    if [customer.is_some(), account.is_some(), balance.is_some(), transaction.is_some()] == [false; 4] {
        problems.add(
            members.line(),
            &members.path(""),
            "feeds nothing; expected customer, account, balance or transaction",
        );
    }
    if let Some(at) = confirms.as_ref().map(|_| members.path("confirms")) {
        match &transaction {
            None => problems.add(members.line(), &at, "needs `transaction` on the same table"),
            Some(Some(fields)) if fields.core_ref.is_none() => {
                problems.add(members.line(), &at, "needs `transaction.core_ref`");
            }
            Some(_) => {}
        }
    }
    members.finish(problems);
    Some(Table {
        database: database.map(str::to_owned),
        name: bare.to_owned(),
        key: key?,
        customer: customer.flatten(),
        account: account.flatten(),
        balance: balance.flatten(),
        transaction: transaction.flatten(),
        confirms: confirms.flatten(),
        personal,
    })
}

/// Reads the fields of one table; remembers which columns hold personal data.
struct Fields<'p> {
    problems: &'p mut Problems,
    personal: Vec<String>,
}

/// A field's long form, `{column: …, …}`, or its short form, the column's name alone.
struct Field<'n> {
    line: u64,
    at: String,
    columns: Vec<String>,
    kind: Option<(u64, String)>,
    scale: Option<i32>,
    codes: Option<&'n Node>,
}

impl Fields<'_> {
    /// None when the section is absent, some of none when it is there and wrong.
    fn section<T>(
        &mut self,
        table: &mut Members<'_>,
        name: &'static str,
        read: impl Fn(&mut Self, &mut Members<'_>) -> Option<T>,
    ) -> Option<Option<T>> {
        let at = table.path(name);
        let node = table.take(name)?;
        let Some(mut members) = Members::of(node, &at, self.problems) else { return Some(None) };
        let section = read(self, &mut members);
        members.finish(self.problems);
        Some(section)
    }

    // Every field is read before any `?`, so that one problem does not hide the next.
    fn customer(&mut self, members: &mut Members<'_>) -> Option<CustomerFields> {
        let customer_id = self.id(members, "customer_id");
        let name = self.personal_column(members, "name");
        Some(CustomerFields { customer_id: customer_id?, name })
    }

    fn account(&mut self, members: &mut Members<'_>) -> Option<AccountFields> {
        let account_id = self.id(members, "account_id");
        let customer_id = self.id(members, "customer_id");
        let currency = self.need_column(members, "currency", "text");
        let states = AccountState::ALL.map(AccountState::as_str).join(", ");
        let state = members.need("state", self.problems);
        let state = state.and_then(|n| self.codes(n, &members.path("state"), AccountState::parse, &states));
        let product = self.column(members, "product", "text");
        Some(AccountFields {
            account_id: account_id?,
            customer_id: customer_id?,
            currency: currency?,
            state: state?,
            product,
        })
    }

    fn balance(&mut self, members: &mut Members<'_>) -> Option<BalanceFields> {
        let account_id = self.id(members, "account_id");
        let currency = self.need_column(members, "currency", "text");
        let booked = members.need("booked", self.problems);
        let booked = booked.and_then(|n| self.amount(n, &members.path("booked")));
        let overdraft_line =
            members.take("overdraft_line").and_then(|n| self.amount(n, &members.path("overdraft_line")));
        let core_holds = members.take("core_holds").and_then(|n| self.amount(n, &members.path("core_holds")));
        let last_posting = self.column(members, "last_posting", "integer");
        Some(BalanceFields {
            account_id: account_id?,
            currency: currency?,
            booked: booked?,
            overdraft_line,
            core_holds,
            last_posting,
        })
    }

    fn transaction(&mut self, members: &mut Members<'_>) -> Option<TransactionFields> {
        let transaction_id = self.id(members, "transaction_id");
        let account_id = self.id(members, "account_id");
        let posting_no = self.column(members, "posting_no", "integer");
        let amount = members.need("amount", self.problems).and_then(|n| self.amount(n, &members.path("amount")));
        let leg =
            members.take("leg").and_then(|n| self.codes(n, &members.path("leg"), LegKind::parse, "debit, credit"));
        let currency = self.need_column(members, "currency", "text");
        let booked_at = members.need("booked_at", self.problems).and_then(|n| self.time(n, &members.path("booked_at")));
        let value_date = self.column(members, "value_date", "date");
        let remittance = self.personal_column(members, "remittance");
        let core_ref = self.column(members, "core_ref", "text");
        Some(TransactionFields {
            transaction_id: transaction_id?,
            account_id: account_id?,
            posting_no,
            amount: amount?,
            leg,
            currency: currency?,
            booked_at: booked_at?,
            value_date,
            remittance,
            core_ref,
        })
    }

    fn confirms(&mut self, members: &mut Members<'_>) -> Option<Confirms> {
        let at = members.path("operations");
        let operations = members.need("operations", self.problems).and_then(|n| self.problems.texts(n, &at));
        let mut predicate = |name: &'static str| {
            let node = members.take(name)?;
            let mut fields = Members::of(node, &members.path(name), self.problems)?;
            let (column_at, equals_at) = (fields.path("column"), fields.path("equals"));
            let column = fields.need("column", self.problems).and_then(|n| self.problems.text(n, &column_at));
            let equals = fields.need("equals", self.problems).and_then(|n| self.problems.texts(n, &equals_at));
            fields.finish(self.problems);
            Some(Predicate { column: column?, equals: equals? })
        };
        let (posted, refused, reversed) = (predicate("posted"), predicate("refused"), predicate("reversed"));
        Some(Confirms { operations: operations?, posted, refused, reversed })
    }

    fn field<'n>(&mut self, node: &'n Node, at: &str) -> Option<Field<'n>> {
        let short =
            |columns| Field { line: node.line, at: at.to_owned(), columns, kind: None, scale: None, codes: None };
        if !matches!(node.value, Value::Map(_)) {
            return self.problems.text(node, at).map(|column| short(vec![column]));
        }
        let mut members = Members::of(node, at, self.problems)?;
        let column = members.take("column").map(|n| self.problems.text(n, &members.path("column")).map(|c| vec![c]));
        let columns = members.take("columns").map(|n| self.problems.texts(n, &members.path("columns")));
        let kind = members.take("type").and_then(|n| Some((n.line, self.problems.text(n, &members.path("type"))?)));
        let scale = members.take("scale").and_then(|n| self.scale(n, &members.path("scale")));
        let codes = members.take("codes");
        let personal = members.take("pii").is_some_and(|n| match n.value {
            Value::Bool(pii) => pii,
            _ => {
                self.problems.add(n.line, &members.path("pii"), "expected true or false");
                false
            }
        });
        members.finish(self.problems);
        let columns = match (column, columns) {
            (Some(columns), None) | (None, Some(columns)) => columns?,
            _ => {
                self.problems.add(node.line, at, "expected one of `column` and `columns`");
                return None;
            }
        };
        if personal {
            self.personal.extend(columns.iter().cloned());
        }
        Some(Field { kind, scale, codes, ..short(columns) })
    }

    fn scale(&mut self, node: &Node, at: &str) -> Option<i32> {
        if let Value::Integer(scale) = node.value
            && let Ok(scale) = i32::try_from(scale)
            && (0..=SCALE_MAX).contains(&scale)
        {
            return Some(scale);
        }
        self.problems.add(node.line, at, "expected digits after the point as a non-negative integer");
        None
    }

    fn id(&mut self, members: &mut Members<'_>, name: &'static str) -> Option<Id> {
        let node = members.need(name, self.problems)?;
        let field = self.field(node, &members.path(name))?;
        self.plain(&field, "text");
        Some(Id(field.columns))
    }

    fn column(&mut self, members: &mut Members<'_>, name: &'static str, kind: &str) -> Option<String> {
        let node = members.take(name)?;
        let field = self.field(node, &members.path(name))?;
        self.plain(&field, kind);
        self.single(field)
    }

    fn need_column(&mut self, members: &mut Members<'_>, name: &'static str, kind: &str) -> Option<String> {
        let node = members.need(name, self.problems)?;
        let field = self.field(node, &members.path(name))?;
        self.plain(&field, kind);
        self.single(field)
    }

    /// Names and texts are personal with or without the mark.
    fn personal_column(&mut self, members: &mut Members<'_>, name: &'static str) -> Option<String> {
        let column = self.column(members, name, "text")?;
        if !self.personal.contains(&column) {
            self.personal.push(column.clone());
        }
        Some(column)
    }

    fn single(&mut self, mut field: Field<'_>) -> Option<String> {
        if field.columns.len() != 1 {
            self.problems.add(field.line, &field.at, "expected one column");
            return None;
        }
        field.columns.pop()
    }

    /// No type but its own, no scale, no codes.
    fn plain(&mut self, field: &Field<'_>, kind: &str) {
        if let Some((line, other)) = &field.kind
            && other != kind
        {
            self.problems.add(*line, &field.at, format!("expected type {kind}"));
        }
        if field.scale.is_some() {
            self.problems.add(field.line, &field.at, "only amounts have a scale");
        }
        if field.codes.is_some() {
            self.problems.add(field.line, &field.at, "this field has no codes");
        }
    }

    fn amount(&mut self, node: &Node, at: &str) -> Option<Amount> {
        const TYPES: &str = "expected a type: decimal (with a scale), decimal_text, decimal_variable or minor_units";
        let field = self.field(node, at)?;
        if field.codes.is_some() {
            self.problems.add(field.line, at, "this field has no codes");
        }
        let kind = field.kind.as_ref().map(|(_, kind)| kind.as_str());
        let format = match (kind, field.scale) {
            (Some("decimal"), Some(scale)) => AmountFormat::Decimal(DecimalFormat::Precise { scale }),
            (Some("decimal"), None) => {
                self.problems.add(field.line, at, "missing scale: events without a schema block do not tell it");
                return None;
            }
            (Some("decimal_text"), None) => AmountFormat::Decimal(DecimalFormat::Text),
            (Some("decimal_variable"), None) => AmountFormat::Decimal(DecimalFormat::Variable),
            (Some("minor_units"), None) => AmountFormat::MinorUnits,
            (Some("decimal_text" | "decimal_variable" | "minor_units"), Some(_)) => {
                self.problems.add(field.line, at, "only type decimal has a scale");
                return None;
            }
            _ => {
                self.problems.add(field.line, at, TYPES);
                return None;
            }
        };
        self.single(field).map(|column| Amount { column, format })
    }

    fn time(&mut self, node: &Node, at: &str) -> Option<Time> {
        let mut field = self.field(node, at)?;
        let format = match field.kind.take().as_ref().map(|(_, kind)| kind.as_str()) {
            Some("timestamp_ms") => TimeFormat::Millis,
            Some("timestamp_us") => TimeFormat::Micros,
            Some("timestamp_ns") => TimeFormat::Nanos,
            Some("timestamp_zoned") => TimeFormat::Zoned,
            _ => {
                let types = "expected a type: timestamp_ms, timestamp_us, timestamp_ns or timestamp_zoned";
                self.problems.add(field.line, at, types);
                return None;
            }
        };
        self.plain(&field, "");
        self.single(field).map(|column| Time { column, format })
    }

    fn codes<T>(&mut self, node: &Node, at: &str, parse: fn(&str) -> Option<T>, meanings: &str) -> Option<Codes<T>> {
        let mut field = self.field(node, at)?;
        let Some(Node { value: Value::Map(codes), .. }) =
            field.codes.take().filter(|n| matches!(&n.value, Value::Map(m) if !m.is_empty()))
        else {
            self.problems.add(field.line, at, format!("expected codes, each with one of: {meanings}"));
            return None;
        };
        self.plain(&field, "text");
        let mut read = Vec::with_capacity(codes.len());
        for (code, meaning) in codes {
            let at = format!("{at}.codes.{code}");
            let parsed = self.problems.text(meaning, &at).map(|text| parse(&text));
            match parsed {
                Some(Some(value)) => read.push((code.clone(), value)),
                Some(None) => self.problems.add(meaning.line, &at, format!("expected one of: {meanings}")),
                None => {}
            }
        }
        self.single(field).map(|column| Codes { column, codes: read })
    }
}
