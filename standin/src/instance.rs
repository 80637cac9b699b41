//! Who sends: one life of one instance.

use std::fmt;

/// One life of one instance. The identity belongs to a state directory and is held by a lock that the operating system
/// drops with the process; `boot` counts its holders.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Instance {
    /// Identity kept in the state directory.
    pub id: String,
    /// Which holder of it this process is.
    pub boot: i64,
}

impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.id, self.boot)
    }
}
