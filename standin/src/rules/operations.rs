//! Which accounts an operation may touch, on which path.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::account::AccountStatus;
use schemas::entry::LegKind;

/// The rules of every operation; one that is not named has the default ones.
///
/// Read from SQL as well: what a newer Locum has added is passed over.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Rules(BTreeMap<String, OperationRules>);

impl Rules {
    /// The rules of this operation.
    pub fn of(&self, operation: &str) -> OperationRules {
        self.0.get(operation).cloned().unwrap_or_default()
    }

    /// Everything that makes no sense, in one list. `operations` are those that exist.
    pub fn problems(&self, operations: &[&str]) -> Vec<String> {
        let mut problems = Vec::new();
        for (name, rules) in &self.0 {
            if !operations.contains(&name.as_str()) {
                problems.push(format!("{name}: there is no such operation; known are {}", operations.join(", ")));
            }
            for (path, states) in [("stand_in", &rules.stand_in), ("direct", &rules.direct)] {
                for (side, list) in [("debit", &states.debit), ("credit", &states.credit)] {
                    if !list.contains(&AccountStatus::Active) {
                        problems
                            .push(format!("{name}.{path}.{side}: must name `active`, or no account could be touched"));
                    }
                }
            }
        }
        problems
    }
}

impl FromIterator<(String, OperationRules)> for Rules {
    fn from_iter<T: IntoIterator<Item = (String, OperationRules)>>(rules: T) -> Self {
        Self(rules.into_iter().collect())
    }
}

/// What one operation may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OperationRules {
    /// States that stand-in, which decides alone, may touch.
    pub stand_in: StateRules,
    /// States with which the core is asked. All of them: the core decides.
    pub direct: StateRules,
    /// What a principal learns of an account to be credited that is not its own.
    pub payee_reasons: PayeeReasons,
    /// A credit takes a place in the order of its account, as a debit does.
    pub credits_in_order: bool,
    /// What its writes wait for.
    pub order: Order,
}

impl Default for OperationRules {
    fn default() -> Self {
        let (stand_in, direct) = (StateRules::only_active(), StateRules::all());
        Self { stand_in, direct, payee_reasons: PayeeReasons::Neutral, credits_in_order: false, order: Order::Account }
    }
}

impl OperationRules {
    /// Does a leg of this kind take a place in the order of its account? What only adds money harms nothing that comes before or after it.
    pub fn in_order(&self, kind: LegKind) -> bool {
        kind == LegKind::Debit || self.credits_in_order
    }

    /// May an account of this status take a leg of this kind on this path?
    pub fn allow(&self, path: Path, kind: LegKind, status: AccountStatus) -> bool {
        let states = match path {
            Path::Direct | Path::InTurn => &self.direct,
            Path::StandIn => &self.stand_in,
        };
        match kind {
            LegKind::Debit => states.debit.contains(&status),
            LegKind::Credit => states.credit.contains(&status),
        }
    }
}

/// What a queued write waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// What came before it on its accounts.
    #[default]
    Account,
    /// Every write with this order that came before it, on whatever account.
    Global,
}

/// States an account may have, by the side it is on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateRules {
    /// Of the account to be debited.
    pub debit: Vec<AccountStatus>,
    /// Of the account to be credited.
    pub credit: Vec<AccountStatus>,
}

impl StateRules {
    fn only_active() -> Self {
        Self { debit: vec![AccountStatus::Active], credit: vec![AccountStatus::Active] }
    }

    fn all() -> Self {
        Self { debit: AccountStatus::ALL.to_vec(), credit: AccountStatus::ALL.to_vec() }
    }
}

/// What a principal learns of an account to be credited that is not its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PayeeReasons {
    /// One reason for all: whether it exists, is closed or has another currency stays unsaid.
    #[default]
    Neutral,
    /// The reason itself.
    Exact,
}

/// Who decides about a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Path {
    /// The core, in the request's own time.
    Direct,
    /// The core, once what is queued before it in its lanes is through.
    InTurn,
    /// Stand-in, by our data.
    StandIn,
}

impl Path {
    /// The word in decision records.
    pub fn as_str(self) -> &'static str {
        match self {
            Path::Direct => "direct",
            Path::InTurn => "in-turn",
            Path::StandIn => "stand-in",
        }
    }
}
