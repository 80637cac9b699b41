//! From the YAML tree to a checked mapping.

use jiff::tz::TimeZone;

use super::choice::Meanings;
use super::code::{Code, Predicate};
use super::currency::Currencies;
use super::field::Fields;
use super::filter::Where;
use super::node::{Members, Node, Problems, Value};
use super::table::{AccountFields, BalanceFields, Confirms, CustomerFields, Table, TransactionFields};
use super::{Mapping, MappingErrors, MappingIssue, PLAUSIBLE_YEARS, contradictions, lookup, order, reference};
use crate::core::ReferenceFormat;
use crate::debezium::Connector;
use crate::decimal::Inexact;
use crate::model::AccountState;

/// Instead of a table's name: there is no table of heartbeats.
const NO_TABLE: &str = "none";
const HEARTBEAT_WANTED: &str = "missing: without a table of heartbeats a PostgreSQL core that was restored to an earlier time is served on as \
    if nothing had happened; name the table, or write `none` to accept that (docs/configuration.md, the mapping)";

pub(super) fn mapping(yaml: &str) -> Result<Mapping, MappingErrors> {
    // YAML 1.2: `no`, `on` and `yes` are texts.
    let options = serde_saphyr::options! { strict_booleans: true };
    let root: Node = serde_saphyr::from_str_with_options(yaml, options).map_err(|err| {
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
    let declared = members.take("currencies");
    let currencies = declared.map(|n| Currencies::read(n, problems)).unwrap_or_default();
    let reference = members.take("reference");
    let reference = reference.map_or_else(|| Some(ReferenceFormat::default()), |n| reference::written(n, problems));
    let tables: Option<Vec<Table>> = match members.need("tables", problems) {
        Some(Node { value: Value::Map(tables), .. }) if !tables.is_empty() => {
            let mut read = |(name, node): &(String, Node)| {
                let reader = Fields { problems, currencies: &currencies };
                table(name, node, database.as_deref(), reader)
            };
            Some(tables.iter().filter_map(&mut read).collect())
        }
        Some(node) => {
            problems.add(node.line, "tables", "expected at least one table");
            None
        }
        None => None,
    };
    let heartbeat = members.take("heartbeat");
    if connector == Some(Connector::Postgres) && heartbeat.is_none() {
        problems.add(root.line, "heartbeat", HEARTBEAT_WANTED);
    }
    let heartbeat = heartbeat.and_then(|n| problems.text(n, "heartbeat")).filter(|name| name != NO_TABLE);
    let heartbeat = heartbeat.map(|name| match name.split_once('.') {
        Some((database, bare)) => (Some(database.to_owned()), bare.to_owned()),
        None => (database.clone(), name),
    });
    let plausible_years = members.take("plausible_years").map_or(Some(PLAUSIBLE_YEARS), |n| years(n, problems));
    members.finish(problems);
    if let Some(tables) = &tables {
        contradictions::between(tables, root.line, problems);
        contradictions::heartbeats(tables, heartbeat.as_ref(), root.line, problems);
        currencies.check_use(tables, declared.map_or(root.line, |node| node.line), problems);
        lookup::check_use(tables, currencies.have_own_exponents(), root.line, problems);
        if let Some(format) = &reference {
            reference::check_use(tables, format, root.line, problems);
        }
    }
    Some(Mapping {
        source: source?,
        connector: connector?,
        zone: zone?,
        plausible_years: plausible_years?,
        currencies,
        reference: reference?,
        by_source_transaction: tables.as_deref().is_some_and(order::by_source_transaction),
        tables: tables?,
        heartbeat,
    })
}

fn years(node: &Node, problems: &mut Problems) -> Option<u16> {
    let years = match node.value {
        Value::Integer(years) => u16::try_from(years).ok().filter(|years| *years > 0),
        _ => None,
    };
    if years.is_none() {
        problems.add(node.line, "plausible_years", "expected a number of years from 1");
    }
    years
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

fn table(name: &str, node: &Node, database: Option<&str>, mut reader: Fields<'_>) -> Option<Table> {
    let (database, bare) = match name.split_once('.') {
        Some((database, bare)) => (Some(database), bare),
        None => (database, name),
    };
    let mut members = Members::of(node, &format!("tables.{name}"), reader.problems)?;
    let key_at = members.path("key");
    let key = members.need("key", reader.problems).and_then(|n| reader.problems.texts(n, &key_at));
    let filter_at = members.path("where");
    let filter = members.take("where").map(|n| reader.filter(n, &filter_at));
    let customer = reader.section(&mut members, "customer", Fields::customer);
    let account = reader.section(&mut members, "account", Fields::account);
    let balance = reader.section(&mut members, "balance", Fields::balance);
    let transaction = reader.section(&mut members, "transaction", Fields::transaction);
    let confirms = reader.section(&mut members, "confirms", Fields::confirms);
    let links = reader.section(&mut members, "links", Fields::links);
    let refusals = reader.section(&mut members, "refusals", Fields::refusals);
    let problems = reader.problems;
    let rows = [customer.is_some(), account.is_some(), balance.is_some(), transaction.is_some()];
    if rows == [false; 4] && links.is_none() && refusals.is_none() {
        let problem = "feeds nothing; expected customer, account, balance, transaction, links or refusals";
        problems.add(members.line(), members.at(), problem);
    }
    if refusals.is_some() && filter.is_none() {
        problems.add(members.line(), &filter_at, "missing: which rows of this table are `refusals`");
    }
    contradictions::within(&members, &balance, &transaction, &confirms, problems);
    let table = key.zip(filter.unwrap_or_else(|| Some(Where::default()))).map(|(key, filter)| Table {
        database: database.map(str::to_owned),
        name: bare.to_owned(),
        key,
        filter,
        customer: customer.flatten(),
        account: account.flatten(),
        balance: balance.flatten(),
        transaction: transaction.flatten(),
        confirms: confirms.flatten(),
        links: links.flatten(),
        refusals: refusals.flatten(),
    });
    if let Some(table) = &table {
        contradictions::filtered(&members, table, problems);
    }
    members.finish(problems);
    table
}

// Every field of a section is read before any `?`, so that one problem does not hide the next.
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

    fn customer(&mut self, members: &mut Members<'_>) -> Option<CustomerFields> {
        let customer_id = self.id(members, "customer_id");
        let name = self.words(members, "name");
        Some(CustomerFields { customer_id: customer_id?, name })
    }

    fn account(&mut self, members: &mut Members<'_>) -> Option<AccountFields> {
        let account_id = self.id(members, "account_id");
        let customer_id = self.holder(members, "customer_id");
        let currency = self.currency(members, "currency");
        let states = AccountState::ALL.map(AccountState::as_str).join(", ");
        let meanings = Meanings { parse: AccountState::parse, names: &states };
        let state = members.need("state", self.problems);
        let state = state.and_then(|n| self.choice(n, &members.path("state"), &meanings));
        let product = self.words(members, "product");
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
        let currency = self.currency(members, "currency");
        let booked = members.need("booked", self.problems);
        let booked = booked.and_then(|n| self.amount(n, &members.path("booked"), Inexact::Floor));
        let overdraft_line = members
            .take("overdraft_line")
            .and_then(|n| self.amount(n, &members.path("overdraft_line"), Inexact::Floor));
        let core_holds =
            members.take("core_holds").and_then(|n| self.amount(n, &members.path("core_holds"), Inexact::Ceil));
        let last_posting = self.last_posting(members);
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
        let postings = match members.take("legs") {
            None => self.posting(members).map(|posting| vec![posting]),
            Some(node) => self.legs(node, members),
        };
        let booked_at = members.need("booked_at", self.problems).and_then(|n| self.time(n, &members.path("booked_at")));
        let value_date = self.column(members, "value_date", "date");
        let remittance = self.words(members, "remittance");
        let core_ref = members.take("core_ref").map(|n| self.reference(n, &members.path("core_ref")));
        Some(TransactionFields {
            transaction_id: transaction_id?,
            postings: postings?,
            booked_at: booked_at?,
            value_date,
            remittance,
            core_ref: match core_ref {
                None => None,
                Some(reference) => Some(reference?),
            },
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
            let equals = fields.need("equals", self.problems).and_then(|n| self.problems.codes(n, &equals_at));
            fields.finish(self.problems);
            let codes = equals?.into_iter().map(Code::Text).collect();
            Some(Predicate { column: column?, codes, not: false })
        };
        let (posted, refused, reversed) = (predicate("posted"), predicate("refused"), predicate("reversed"));
        // Named for people; which postings confirm is what the predicates say.
        operations.map(|_| Confirms { posted, refused, reversed })
    }
}
