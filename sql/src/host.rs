//! The host on which a handle is used: its wall clock, and its chance.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// What a simulated host gives in place of the operating system's clock and chance.
pub trait Surroundings: Send + Sync + 'static {
    /// The host's wall clock, microseconds since 1970.
    fn now_us(&self) -> i64;

    /// Any number.
    fn chance(&self) -> u64;
}

/// The host of a [`Db`](crate::Db). By default it is this machine; a simulation gives others. Cloning is cheap.
#[derive(Clone, Default)]
pub struct Host(Option<Arc<dyn Surroundings>>);

impl Host {
    /// A host with these surroundings.
    pub fn of(surroundings: Arc<dyn Surroundings>) -> Self {
        Self(Some(surroundings))
    }

    /// Its wall clock, microseconds since 1970.
    pub fn now_us(&self) -> i64 {
        match &self.0 {
            Some(given) => given.now_us(),
            None => now_us(),
        }
    }

    /// Any number; nobody can tell it before.
    pub fn chance(&self) -> u64 {
        match &self.0 {
            Some(given) => given.chance(),
            None => RandomState::new().hash_one(0),
        }
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Host(simulated)" } else { "Host" })
    }
}

/// A machine whose clock stands before 1970 is at 1970.
fn now_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Given;

    impl Surroundings for Given {
        fn now_us(&self) -> i64 {
            7
        }

        fn chance(&self) -> u64 {
            8
        }
    }

    #[test]
    fn a_host_has_the_surroundings_it_was_given_or_those_of_this_machine() {
        let given = Host::of(Arc::new(Given));
        assert_eq!((given.now_us(), given.chance()), (7, 8));
        let this = Host::default();
        assert!(this.now_us() > 1_700_000_000_000_000 && this.chance() != this.chance());
    }
}
