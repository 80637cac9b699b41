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

impl Instance {
    /// Is `holder` (written as [`fmt::Display`] does) an earlier holder of this identity? Then it is dead: only one process at a time
    /// holds the identity's lock.
    pub(crate) fn succeeds(&self, holder: &str) -> bool {
        let earlier = |boot: &str| boot.parse().is_ok_and(|boot: i64| boot < self.boot);
        holder.rsplit_once(':').is_some_and(|(id, boot)| id == self.id && earlier(boot))
    }
}

impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.id, self.boot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_earlier_holders_of_the_same_identity_are_dead() {
        let instance = Instance { id: "a:b".into(), boot: 10 };
        for (holder, dead) in [
            ("a:b:9", true),
            ("a:b:10", false),
            ("a:b:11", false),
            ("a:9", false),
            ("9", false),
            ("", false),
            ("a:b:", false),
        ] {
            assert_eq!(instance.succeeds(holder), dead, "{holder}");
        }
    }
}
