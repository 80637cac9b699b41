//! What one instance takes of what all of them share: connections to the core, and to the SQL server. Pure.

use std::fmt;
use std::ops::RangeInclusive;

use super::Fault;
use super::sections::Config;
use crate::roles::Role;

/// Instances that one core may be shared by.
const INSTANCES: RangeInclusive<usize> = 1..=1_024;
/// Connections for the probes of one instance: its monitor's, and its replayer's. They wait for no posting.
const PROBES: usize = 2;
/// Postings and enquiries that an instance must be able to have under way: one of live traffic, one of the replay.
const EXCHANGES_MIN: usize = 2;

/// Entries that the replay sends at once without being told how many, at most.
const REPLAY_DEFAULT_MAX: usize = 16;

/// The connections to the core that one instance may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CoreShare {
    total: usize,
    instances: usize,
}

impl CoreShare {
    /// An equal share of `total`, or why it is too small.
    fn of(total: usize, instances: usize) -> Result<Self, String> {
        let share = Self { total, instances };
        let needed = PROBES + EXCHANGES_MIN;
        if share.each() >= needed {
            return Ok(share);
        }
        let each = share.each();
        Err(format!(
            "{total} connections to the core over instances_max {instances} are {each} for each instance, and each needs {needed}: {PROBES} \
             for probes, 1 for live traffic, 1 for the replay; raise limits.connections-max of the core's connector to {} or more, as far as \
             the core allows it, or lower instances_max to {}",
            needed.saturating_mul(instances),
            (total / needed).max(1)
        ))
    }

    fn each(self) -> usize {
        self.total / self.instances.max(1)
    }

    /// For postings and enquiries; the rest is for probes.
    pub fn exchanges(self) -> usize {
        self.each().saturating_sub(PROBES)
    }

    /// What the replay has unless told otherwise. Each entry sent at once is one more in the journal's transactions, which lock its lanes:
    /// with 31, two processes kept each other waiting on OceanBase until locks timed out; with 16 they did not.
    pub fn replay_default(self) -> usize {
        self.replay_max().min(REPLAY_DEFAULT_MAX)
    }

    /// One replayer is active at a time, so at most half of its instance's share is the replay's.
    pub fn replay_max(self) -> usize {
        (self.exchanges() / 2).max(1)
    }
}

impl fmt::Display for CoreShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (each, exchanges) = (self.each(), self.exchanges());
        write!(
            f,
            "{} connections over {} instance(s) are {each} each: {PROBES} for probes, {exchanges} for postings and enquiries",
            self.total, self.instances
        )
    }
}

/// What all processes may ask of the SQL server at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SqlDemand {
    processes: usize,
    writers: usize,
    readers: usize,
}

impl SqlDemand {
    fn connections(self) -> usize {
        self.processes.saturating_mul(self.writers.saturating_add(self.readers))
    }

    /// Where this is more than the server allows, with the numbers.
    pub fn excesses(self, allowed: sql::Capacity) -> Vec<String> {
        let over = |needed: usize, max: Option<u64>| max.filter(|max| needed as u64 > *max);
        let connections = over(self.connections(), allowed.connections_max).map(|max| {
            format!("{self}, and max_connections of the SQL server is {max}: raise it, or lower sql.connections_max or instances_max")
        });
        let prepared = self.connections().saturating_mul(allowed.statements_cached);
        let statements = over(prepared, allowed.prepared_statements_max).map(|max| {
            format!(
                "{self}, each with up to {} prepared statements: {prepared}, and max_prepared_stmt_count of the SQL server is {max}: \
                 raise it, or lower sql.connections_max or instances_max",
                allowed.statements_cached
            )
        });
        connections.into_iter().chain(statements).collect()
    }
}

impl fmt::Display for SqlDemand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { processes, writers, readers } = self;
        write!(f, "{processes} process(es) x ({writers} + {readers}) connections are {} at most", self.connections())
    }
}

impl Config {
    /// Does this process take writes or replay them? Then it is one of the instances, and talks to the core.
    pub fn writes(&self) -> bool {
        self.roles.iter().any(|role| matches!(role, Role::Gateway | Role::Replayer))
    }

    /// This instance's share of the connections that the core's connector names.
    pub fn core_share(&self) -> Result<CoreShare, Fault> {
        let total = self.core.config()?.connections_max();
        CoreShare::of(total, self.instances_max).map_err(|text| Fault::new("core.limits.connections-max", text))
    }

    /// What all processes together may ask of the SQL server.
    pub fn sql_demand(&self) -> SqlDemand {
        let options = self.sql.options();
        let processes = self.sql.processes_max.unwrap_or(self.instances_max);
        SqlDemand { processes, writers: options.connections_max, readers: options.readers_max }
    }
}

/// How many share, and what is left for the replay.
pub(super) fn check(config: &Config, faults: &mut Vec<Fault>) {
    if !INSTANCES.contains(&config.instances_max) {
        return faults.push(Fault::new("instances_max", "must be 1 to 1024: how many instances run at most at once"));
    }
    // That a core is missing is told elsewhere.
    if !config.writes() || config.core.config().is_err() {
        return;
    }
    match config.core_share() {
        Err(fault) => faults.push(fault),
        Ok(share)
            if config.replay.concurrency_max.is_some_and(|wanted| !(1..=share.replay_max()).contains(&wanted)) =>
        {
            let text = format!(
                "must be 1 to {}, half of what this instance has, so that live traffic has the other half: {share}; lower it or leave it \
                 out, or raise limits.connections-max of the core's connector",
                share.replay_max()
            );
            faults.push(Fault::new("replay.concurrency_max", text));
        }
        Ok(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_of_all_instances_are_never_more_than_the_whole() {
        for total in 1..=200 {
            for instances in 1..=60 {
                match CoreShare::of(total, instances) {
                    Ok(share) => {
                        assert!((share.exchanges() + PROBES) * instances <= total, "{share}");
                        assert!(share.replay_max() >= 1 && share.replay_max() * 2 <= share.exchanges(), "{share}");
                    }
                    Err(text) => assert!(total / instances < PROBES + EXCHANGES_MIN, "{text}"),
                }
            }
        }
    }

    #[test]
    fn a_share_that_is_too_small_is_told_with_its_arithmetic() {
        let told = CoreShare::of(64, 20).unwrap_err();
        for part in [
            "64 connections",
            "instances_max 20 are 3 for each",
            "each needs 4",
            "to 80 or more",
            "instances_max to 16",
        ] {
            assert!(told.contains(part), "{part:?} is not in {told:?}");
        }
        assert_eq!(CoreShare::of(64, 16).unwrap().exchanges(), 2);
        let whole = CoreShare::of(64, 1).unwrap();
        assert_eq!((whole.exchanges(), whole.replay_max()), (62, 31));
        assert!(whole.to_string().starts_with("64 connections over 1 instance(s) are 64 each"));
    }

    #[test]
    fn more_than_the_sql_server_allows_is_told_with_its_numbers() {
        let demand = SqlDemand { processes: 3, writers: 32, readers: 16 };
        let allowed = |connections_max, prepared_statements_max| sql::Capacity {
            connections_max,
            prepared_statements_max,
            statements_cached: 128,
        };
        assert_eq!(demand.excesses(allowed(Some(144), Some(18_432))), [""; 0]);
        assert_eq!(demand.excesses(allowed(None, None)), [""; 0]);
        let told = demand.excesses(allowed(Some(143), Some(16_382)));
        assert_eq!(told.len(), 2);
        assert!(
            told[0].contains("3 process(es) x (32 + 16) connections are 144 at most") && told[0].contains("is 143")
        );
        assert!(told[1].contains("18432") && told[1].contains("max_prepared_stmt_count of the SQL server is 16382"));
    }
}
