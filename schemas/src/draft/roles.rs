//! Which table holds what, by names and types: points for what speaks for it, and against it.

use super::names::{Wanted, has_any, words};
use super::shape::{Column, Form, Table};

/// Names of amounts that are on an account.
pub(super) const BOOKED: Wanted<'static> = Wanted {
    names: &[
        "balance booked",
        "ledger balance",
        "current balance",
        "account balance",
        "balance",
        "saldo",
        "kontostand",
        "booked",
    ],
    without: &[
        "running",
        "cumulative",
        "min",
        "minimum",
        "inflight",
        "credit",
        "debit",
        "opening",
        "closing",
        "average",
        "limit",
        "hold",
        "held",
        "available",
        "previous",
        "last",
        "date",
        "at",
        "by",
        "id",
        "version",
        "type",
        "status",
        "no",
        "number",
        "day",
    ],
    is: Form::is_amount,
};
/// Names of what a posting moves.
pub(super) const AMOUNT: Wanted<'static> = Wanted {
    names: &["precise amount", "amount", "amt", "betrag", "value"],
    without: &[
        "fee",
        "running",
        "balance",
        "cumulative",
        "overdraft",
        "original",
        "date",
        "hold",
        "id",
        "tax",
        "percent",
        "type",
        "day",
    ],
    is: Form::is_amount,
};
/// Names of currencies.
pub(super) const CURRENCY: Wanted<'static> = Wanted {
    names: &["currency code", "currency", "ccy", "waehrung", "curr", "asset code", "asset"],
    without: &["digit", "digits", "multiplesof", "scale", "exponent", "rate", "name", "precision"],
    is: Form::is_text,
};
/// Names of what a posting's account stands in.
const OF_ACCOUNT: Wanted<'static> = Wanted {
    names: &["account no", "account number", "account id", "account", "acct", "konto", "iban", "balance id"],
    without: &[
        "type",
        "name",
        "from",
        "to",
        "source",
        "destination",
        "debit",
        "credit",
        "counterparty",
        "holder",
        "detail",
        "status",
    ],
    is: Form::is_id,
};
/// The accounts of a row that moves from one to another: the words of both sides.
const SIDES: [(&str, &str); 6] = [
    ("source", "destination"),
    ("debit account", "credit account"),
    ("from account", "to account"),
    ("debtor account", "creditor account"),
    ("debit", "credit"),
    ("payer", "payee"),
];
/// Times at which something is booked.
pub(super) const BOOKED_AT: Wanted<'static> = Wanted {
    names: &[
        "booked at",
        "booking time",
        "booking",
        "posted at",
        "posted",
        "created on utc",
        "created at",
        "created",
        "transaction time",
        "transaction date",
        "timestamp",
        "buchung",
        "date",
    ],
    without: &["value", "updated", "modified", "scheduled", "effective", "submitted", "by", "end"],
    is: |form| matches!(form, Form::Time(_) | Form::Date),
};
/// A customer's name in one column, and in two.
pub(super) const NAME: Wanted<'static> = Wanted {
    names: &["display name", "full name", "fullname", "customer name", "client name", "organization name", "name"],
    without: &["first", "last", "user", "file", "product", "short", "other", "middle", "action", "entity", "type"],
    is: Form::is_text,
};
pub(super) const FIRST_NAME: Wanted<'static> =
    Wanted { names: &["first name", "firstname", "given name", "vorname"], without: &[], is: Form::is_text };
pub(super) const LAST_NAME: Wanted<'static> =
    Wanted { names: &["last name", "lastname", "family name", "surname", "nachname"], without: &[], is: Form::is_text };

/// Which table plays which part. An account's table may hold its balance, too.
pub(super) struct Roles<'t> {
    pub(super) customer: Option<&'t Table>,
    pub(super) account: Option<&'t Table>,
    pub(super) balance: Option<&'t Table>,
    pub(super) transaction: Option<&'t Table>,
}

impl<'t> Roles<'t> {
    pub(super) fn of(tables: &'t [Table]) -> Self {
        let transaction = best(tables, transaction_points, 5);
        let others = |table: &&Table| transaction.is_none_or(|taken| !std::ptr::eq(taken, *table));
        let rest: Vec<&Table> = tables.iter().filter(others).collect();
        let account = best(rest.iter().copied(), account_points, 4);
        let balance = account.filter(|table| BOOKED.find(table).is_some());
        let balance = balance.or_else(|| best(rest.iter().copied(), balance_points, 4));
        Self { customer: best(rest.iter().copied(), customer_points, 4), account, balance, transaction }
    }
}

/// The table with the most points, the first of equals.
fn best<'t>(tables: impl IntoIterator<Item = &'t Table>, points: fn(&Table) -> i32, least: i32) -> Option<&'t Table> {
    let mut best: Option<(i32, &Table)> = None;
    for table in tables {
        let own = points(table);
        if own >= least && best.is_none_or(|(points, _)| own > points) {
            best = Some((own, table));
        }
    }
    best.map(|(_, table)| table)
}

fn points(of: &[(bool, i32)]) -> i32 {
    of.iter().filter(|(holds, _)| *holds).map(|(_, points)| points).sum()
}

const NO_BOOKS: [&str; 14] = [
    "log", "audit", "history", "detail", "command", "archive", "event", "config", "type", "template", "request",
    "snapshot", "product", "tmp",
];
const POSTINGS: [&str; 8] = ["transaction", "posting", "entry", "movement", "booking", "buchung", "umsatz", "umsaetze"];

fn transaction_points(table: &Table) -> i32 {
    let name = words(&table.name);
    let account = of_account(table);
    let refers = account.is_some_and(|column| column.refers_to.is_some());
    points(&[
        (has_any(&name, &POSTINGS) || has_any(&name, &["entries"]), 3),
        (AMOUNT.find(table).is_some(), 2),
        (account.is_some() || sides(table).is_some(), 2),
        (refers || sides(table).is_some_and(|(side, _)| side.refers_to.is_some()), 1),
        (BOOKED_AT.find(table).is_some(), 1),
        (LEG.find(table).is_some(), 1),
        (has_any(&name, &["transfer"]), -1),
        (has_any(&name, &NO_BOOKS), -4),
    ])
}

fn account_points(table: &Table) -> i32 {
    let name = words(&table.name);
    points(&[
        (has_any(&name, &["account", "konto", "konten", "acct", "balance", "wallet"]), 3),
        (BOOKED.find(table).is_some(), 2),
        (CURRENCY.find(table).is_some(), 1),
        (STATE.find(table).is_some(), 1),
        (HOLDER.find(table).is_some(), 1),
        (has_any(&name, &POSTINGS) || has_any(&name, &["transfer"]), -4),
        (has_any(&name, &NO_BOOKS), -4),
    ])
}

fn balance_points(table: &Table) -> i32 {
    let name = words(&table.name);
    points(&[
        (BOOKED.find(table).is_some(), 3),
        (has_any(&name, &["balance", "saldo", "salden"]), 2),
        (of_account(table).is_some(), 1),
        (has_any(&name, &POSTINGS), -4),
        (has_any(&name, &NO_BOOKS), -4),
    ])
}

fn customer_points(table: &Table) -> i32 {
    let name = words(&table.name);
    let named = NAME.find(table).is_some() || LAST_NAME.find(table).is_some();
    points(&[
        (
            has_any(
                &name,
                &[
                    "customer",
                    "client",
                    "identity",
                    "identities",
                    "party",
                    "parties",
                    "person",
                    "holder",
                    "kunde",
                    "kunden",
                ],
            ),
            3,
        ),
        (named, 1),
        (LAST_NAME.find(table).is_some(), 1),
        (BOOKED.find(table).is_some() || AMOUNT.find(table).is_some(), -3),
        (has_any(&name, &NO_BOOKS), -4),
    ])
}

/// Names of what may be done with an account.
pub(super) const STATE: Wanted<'static> = Wanted {
    names: &["account status", "account state", "status", "state", "status enum", "zustand"],
    without: &["sub", "date", "at", "reason", "country", "address", "by"],
    is: Form::is_code,
};
/// Names of whose an account is.
pub(super) const HOLDER: Wanted<'static> = Wanted {
    names: &[
        "customer id",
        "customer no",
        "client id",
        "owner",
        "identity id",
        "holder",
        "party id",
        "customer",
        "client",
        "kunde",
    ],
    without: &["name", "type", "group", "email", "status"],
    is: Form::is_id,
};
/// Names of what tells debits from credits.
pub(super) const LEG: Wanted<'static> = Wanted {
    names: &[
        "direction",
        "dc",
        "leg",
        "debit credit",
        "drcr",
        "side",
        "sign",
        "soll haben",
        "entry type",
        "posting type",
        "transaction type",
        "type",
    ],
    without: &["account", "payment", "customer", "product", "id"],
    is: Form::is_code,
};

/// The column of a posting's account: what refers to a table of accounts, otherwise by its name.
pub(super) fn of_account(table: &Table) -> Option<&Column> {
    let refers = |column: &&Column| {
        let own = words(&column.name);
        let sided = has_any(&own, OF_ACCOUNT.without);
        let to = column.refers_to.as_ref().map(|(to, _)| words(to));
        to.is_some_and(|to| has_any(&to, &["account", "balance", "konto", "wallet"]) && !has_any(&to, &POSTINGS))
            && !sided
    };
    table.columns.iter().find(refers).or_else(|| OF_ACCOUNT.find(table))
}

/// The columns of the account that is debited and of the one that is credited, where one row is both postings.
pub(super) fn sides(table: &Table) -> Option<(&Column, &Column)> {
    SIDES.iter().find_map(|(from, to)| {
        let wanted = |names: &str| {
            let names = [names];
            let without = ["amount", "balance", "type", "name", "office", "client", "transaction", "fee"];
            Wanted { names: &names, without: &without, is: Form::is_id }.find(table)
        };
        wanted(from).zip(wanted(to)).filter(|(from, to)| from.name != to.name)
    })
}
