//! The draft as YAML.

use super::roles::Roles;
use super::sections::{self, Line, names, plain, quoted};
use super::shape::{Table, Tables};
use crate::debezium::Connector;
use crate::mapping::FILL_IN;

/// Names of other tables that are listed.
const OTHERS_MAX: usize = 100;

/// Proposes a mapping. Every guess has its reason beside it; it is no mapping before each `FILL-IN` is replaced.
pub fn propose(source: &str, tables: &Tables) -> String {
    let roles = Roles::of(&tables.tables);
    let mut yaml = head(source, tables, &roles);
    let mut written: Vec<&Table> = Vec::new();
    for table in [roles.customer, roles.account, roles.balance, roles.transaction].into_iter().flatten() {
        if !written.iter().any(|other| std::ptr::eq(*other, table)) {
            written.push(table);
            push_table(&mut yaml, table, &roles);
        }
    }
    if written.is_empty() {
        yaml.push_str(&format!("  {FILL_IN}: {FILL_IN}  # no table looks like accounts, balances or transactions\n"));
    }
    let missing = [("accounts", roles.account), ("balances", roles.balance), ("transactions", roles.transaction)];
    for (what, _) in missing.iter().filter(|(_, table)| table.is_none() && !written.is_empty()) {
        yaml.push_str(&format!("  # No table looks like {what}: name it here, with its key and its section.\n"));
    }
    let others = tables.tables.iter().filter(|table| !written.iter().any(|other| std::ptr::eq(*other, *table)));
    let others: Vec<&str> = others.map(|table| table.name.as_str()).take(OTHERS_MAX).collect();
    if !others.is_empty() {
        yaml.push_str(&format!("  # Not mapped: {}\n", comment(&others.join(", "))));
    }
    yaml
}

fn head(source: &str, tables: &Tables, roles: &Roles<'_>) -> String {
    let mut yaml = format!(
        "# A proposal, guessed from names and types. Look at every line. What nobody can guess is {FILL_IN}: as long as one is left, the\n\
         # mapping is refused with its line. Then: locum mapping check --mapping THIS --from EVENTS.jsonl, and compare the sums.\n\
         source: {}  # as in sources[].name\n",
        quoted(source)
    );
    let connector = match tables.connector {
        Some(Connector::MariaDb) => "mariadb  # mysql, if it is MySQL",
        Some(Connector::MySql) => "mysql",
        Some(Connector::Postgres) => "postgresql",
        None => "FILL-IN  # mariadb, mysql or postgresql",
    };
    yaml.push_str(&format!("connector: {connector}\n"));
    let used = [roles.customer, roles.account, roles.balance, roles.transaction];
    let mut databases: Vec<&str> = used.into_iter().flatten().filter_map(|table| table.database.as_deref()).collect();
    databases.sort_unstable();
    databases.dedup();
    if let [only] = databases.as_slice() {
        yaml.push_str(&format!("database: {}\n", quoted(only)));
    }
    if tables.connector == Some(Connector::Postgres) {
        yaml.push_str(&format!("heartbeat: {FILL_IN}  # the table of heartbeats (docs/configuration.md), or none\n"));
    }
    yaml.push_str("\ntables:\n");
    yaml
}

fn push_table(yaml: &mut String, table: &Table, roles: &Roles<'_>) {
    let is = |role: Option<&Table>| role.is_some_and(|role| std::ptr::eq(role, table));
    yaml.push_str(&format!("  {}:\n", plain(&table.name)));
    match table.key.is_empty() {
        true => yaml.push_str(&format!(
            "    key: [{FILL_IN}]  # no primary key is told; without one a table can only feed `transaction`\n"
        )),
        false => yaml.push_str(&format!("    key: [{}]\n", names(&table.key))),
    }
    if is(roles.transaction) {
        for doubt in sections::doubts(table) {
            yaml.push_str(&format!("    # {}\n", comment(&doubt)));
        }
    }
    let sections: [(&str, bool, fn(&Table, &Roles<'_>) -> Vec<Line>); 4] = [
        ("customer", is(roles.customer), sections::customer),
        ("account", is(roles.account), sections::account),
        ("balance", is(roles.balance), sections::balance),
        ("transaction", is(roles.transaction), |table, _| sections::transaction(table)),
    ];
    for (name, lines) in sections.into_iter().filter(|(_, is, _)| *is).map(|(name, _, of)| (name, of(table, roles))) {
        yaml.push_str(&format!("    {name}:\n"));
        for Line { name, value, why } in lines {
            let why = comment(&why);
            match value {
                Some(value) => yaml.push_str(&format!("      {name}: {value}  # {why}\n")),
                None => yaml.push_str(&format!("      # {name}: {why}\n")),
            }
        }
    }
    yaml.push('\n');
}

/// One line, whatever the core's names hold.
fn comment(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
