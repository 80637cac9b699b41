//! Tables from their definitions: CREATE TABLE of MariaDB, MySQL and PostgreSQL, and the keys that ALTER TABLE adds. Everything else is
//! passed over. A parser of the whole language would refuse files that this one can read enough of.

use super::shape::{CODES_MAX, Column, Form, Table, Tables};
use super::tokens::{Token, tokens};
use crate::debezium::Connector;

/// Words at the beginning of what is no column.
const CONSTRAINTS: [&str; 11] =
    ["primary", "key", "index", "unique", "constraint", "foreign", "check", "exclude", "fulltext", "spatial", "like"];
/// Words that only one of the servers' dialects has.
const POSTGRES: [&str; 9] =
    ["jsonb", "serial", "bigserial", "timestamptz", "bytea", "identity", "varying", "plpgsql", "without"];
const MYSQL: [&str; 7] = ["auto_increment", "engine", "unsigned", "datetime", "tinyint", "mediumtext", "charset"];

/// The tables that a file defines.
pub fn read(sql: &str) -> Tables {
    let tokens = tokens(sql);
    let mut tables = Tables { connector: dialect(sql, &tokens), tables: Vec::new() };
    let mut database: Option<String> = None;
    for statement in tokens.split(|token| *token == Token::Sign(';')) {
        match statement {
            [first, name, ..] if first.is("use") => database = name.name().map(str::to_owned),
            [first, rest @ ..] if first.is("create") => {
                tables.tables.extend(created(rest, database.as_ref(), tables.connector))
            }
            [first, second, rest @ ..] if first.is("alter") && second.is("table") => altered(rest, &mut tables.tables),
            _ => {}
        }
    }
    tables
}

fn dialect(sql: &str, tokens: &[Token]) -> Option<Connector> {
    let count = |words: &[&str]| tokens.iter().filter(|token| words.iter().any(|word| token.is(word))).count();
    let (postgres, mysql) = (count(&POSTGRES), count(&MYSQL) + sql.matches('`').count());
    match postgres.cmp(&mysql) {
        std::cmp::Ordering::Greater => Some(Connector::Postgres),
        std::cmp::Ordering::Less => Some(Connector::MariaDb),
        std::cmp::Ordering::Equal => None,
    }
}

/// `[TEMPORARY …] TABLE [IF NOT EXISTS] [database.]name (…)`; others that can be created are none.
fn created(statement: &[Token], database: Option<&String>, connector: Option<Connector>) -> Option<Table> {
    let at = statement.iter().take(3).position(|token| token.is("table"))?;
    let (database, name, rest) = named(&statement[at + 1..], database)?;
    let Some(Token::Sign('(')) = rest.first() else { return None };
    let mut table = Table { database, name, ..Table::default() };
    for item in items(inside(rest)) {
        if item.first().is_some_and(|first| CONSTRAINTS.iter().any(|word| first.is(word))) {
            constrained(item, &mut table);
        } else if let Some((column, is_key)) = column(item, connector) {
            if is_key {
                table.key = vec![column.name.clone()];
            }
            table.columns.push(column);
        }
    }
    Some(table)
}

/// `[ONLY] name … ADD … PRIMARY KEY (…)`
fn altered(statement: &[Token], tables: &mut [Table]) {
    let Some((database, name, rest)) = named(statement, None) else { return };
    let same = |table: &&mut Table| table.name == name && (database.is_none() || table.database == database);
    if let Some(table) = tables.iter_mut().find(same) {
        items(rest).for_each(|item| constrained(item, table));
    }
}

/// `[IF NOT EXISTS] [ONLY] [database.]name`, and what follows.
fn named<'t>(tokens: &'t [Token], database: Option<&String>) -> Option<(Option<String>, String, &'t [Token])> {
    let skipped =
        tokens.iter().take_while(|token| ["if", "not", "exists", "only"].iter().any(|word| token.is(word))).count();
    match &tokens[skipped..] {
        [first, Token::Sign('.'), second, rest @ ..] => {
            Some((Some(first.name()?.to_owned()), second.name()?.to_owned(), rest))
        }
        [first, rest @ ..] => Some((database.cloned(), first.name()?.to_owned(), rest)),
        [] => None,
    }
}

/// What stands in the brackets that open here.
fn inside(tokens: &[Token]) -> &[Token] {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate() {
        match token {
            Token::Sign('(') => depth += 1,
            Token::Sign(')') => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return tokens.get(1..at).unwrap_or_default();
        }
    }
    tokens.get(1..).unwrap_or_default()
}

/// Parts between commas outside brackets.
fn items(tokens: &[Token]) -> impl Iterator<Item = &[Token]> {
    let mut depth = 0_usize;
    tokens.split(move |token| {
        match token {
            Token::Sign('(') => depth += 1,
            Token::Sign(')') => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0 && *token == Token::Sign(',')
    })
}

/// Names in brackets.
fn listed(tokens: &[Token]) -> Vec<String> {
    let first = items(inside(tokens)).filter_map(|item| item.first()?.name());
    first.map(str::to_owned).collect()
}

/// A key or a reference that stands beside the columns.
fn constrained(item: &[Token], table: &mut Table) {
    let Some(at) =
        item.windows(2).position(|pair| pair[1].is("key") && (pair[0].is("primary") || pair[0].is("foreign")))
    else {
        return;
    };
    let rest = &item[at + 2..];
    let Some(open) = rest.iter().position(|token| *token == Token::Sign('(')) else { return };
    let columns = listed(&rest[open..]);
    if item[at].is("primary") {
        table.key = columns;
        return;
    }
    let refers_to = references(rest);
    if let ([only], Some(refers_to)) = (columns.as_slice(), refers_to)
        && let Some(column) = table.columns.iter_mut().find(|column| column.name == *only)
    {
        column.refers_to = Some(refers_to);
    }
}

/// `REFERENCES table (column)`
fn references(tokens: &[Token]) -> Option<(String, String)> {
    let at = tokens.iter().position(|token| token.is("references"))?;
    let (_, name, rest) = named(&tokens[at + 1..], None)?;
    let column = match rest.first() {
        Some(Token::Sign('(')) => listed(rest).into_iter().next(),
        _ => None,
    };
    Some((name, column.unwrap_or_default()))
}

/// A column, and whether it is the key.
fn column(item: &[Token], connector: Option<Connector>) -> Option<(Column, bool)> {
    let [name, rest @ ..] = item else { return None };
    let pair = |a: &str, b: &str| rest.windows(2).any(|pair| pair[0].is(a) && pair[1].is(b));
    let is_key = pair("primary", "key");
    let column = Column {
        name: name.name()?.to_owned(),
        form: form(rest, connector),
        may_be_null: !pair("not", "null") && !is_key,
        refers_to: references(rest),
        codes: choices(rest).take(CODES_MAX).collect(),
    };
    Some((column, is_key))
}

/// The values of ENUM('A', 'B').
fn choices(rest: &[Token]) -> impl Iterator<Item = String> {
    let is_enum = rest.first().is_some_and(|token| token.is("enum"));
    let listed = if is_enum { inside(&rest[1..]) } else { &[] };
    listed.iter().filter_map(|token| match token {
        Token::Text(text) => Some(text.clone()),
        _ => None,
    })
}

/// How the connector writes a type, with the settings of our templates.
fn form(rest: &[Token], connector: Option<Connector>) -> Form {
    let Some(kind) = rest.first().and_then(Token::word) else { return Form::Other };
    let arguments = match rest.get(1) {
        Some(Token::Sign('(')) => inside(&rest[1..]).iter().filter_map(|t| t.word()?.parse().ok()).collect(),
        _ => Vec::<i32>::new(),
    };
    let has = |word: &str| rest.iter().any(|token| token.is(word));
    if rest.contains(&Token::Sign('[')) {
        return Form::Other;
    }
    match kind.as_str() {
        "bit" | "tinyint" if arguments.first().is_none_or(|n| *n == 1) && kind == "bit" || arguments == [1] => {
            Form::Boolean
        }
        "bool" | "boolean" => Form::Boolean,
        "tinyint" | "smallint" | "mediumint" | "int" | "integer" | "bigint" | "int2" | "int4" | "int8" | "serial"
        | "bigserial" | "smallserial" | "year" => Form::Integer,
        "decimal" | "numeric" | "dec" | "fixed" => match arguments.as_slice() {
            [_, scale] => Form::Decimal { scale: *scale },
            [_] => Form::Decimal { scale: 0 },
            // NUMERIC alone has no scale in PostgreSQL; the others take it for DECIMAL(10, 0).
            _ => Form::DecimalVariable,
        },
        "char" | "character" | "varchar" | "text" | "tinytext" | "mediumtext" | "longtext" | "enum" | "uuid"
        | "citext" | "nvarchar" | "bpchar" | "name" => Form::Text,
        "date" => Form::Date,
        // DATETIME has no fraction unless it says so; PostgreSQL's TIMESTAMP has microseconds.
        "datetime" => Form::Time(moment(arguments.first().copied().unwrap_or(0))),
        "timestamptz" => Form::Time("timestamp_zoned"),
        "timestamp" if has("with") || connector == Some(Connector::MariaDb) => Form::Time("timestamp_zoned"),
        "timestamp" => Form::Time(moment(arguments.first().copied().unwrap_or(6))),
        _ => Form::Other,
    }
}

/// A time without a zone, by its digits after the second.
fn moment(digits: i32) -> &'static str {
    if digits > 3 { "timestamp_us" } else { "timestamp_ms" }
}
