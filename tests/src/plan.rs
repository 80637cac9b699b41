//! What a world is made of.

use crate::bank::Class;

/// Where journal and read model live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// MariaDB.
    MariaDb,
    /// OceanBase.
    OceanBase,
}

impl Engine {
    /// The part of the stack, and the name of its address.
    pub fn part(self) -> (&'static str, &'static str) {
        match self {
            Self::MariaDb => ("mariadb", "LOCUM_DB_URL"),
            Self::OceanBase => ("oceanbase", "OCEANBASE_URL"),
        }
    }
}

/// What a world is made of.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What the core promises.
    pub class: Class,
    /// Journal and read model.
    pub engine: Engine,
    /// `locum` processes.
    pub locums: usize,
    /// Accounts of the core.
    pub accounts: u64,
    /// What is on each.
    pub opening_balance: &'static str,
    /// Whether the connector is registered before Locum starts.
    pub connected: bool,
    /// Orders that want a second person.
    pub four_eyes: &'static [&'static str],
    /// `rules.transfer.order`.
    pub order: &'static str,
    /// Whether a witness asks the journal's database all the time how slow it is. It costs a commit each time: not where rates are measured.
    pub witness: bool,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            class: Class::Idempotent,
            engine: Engine::MariaDb,
            locums: 1,
            accounts: 20,
            opening_balance: "1000.00",
            connected: true,
            four_eyes: &[],
            order: "account",
            witness: true,
        }
    }
}
