//! Whether the core may be sent to, as its probe tells. Pure.
//!
//! One request without an answer raises a doubt, and the probe decides: what becomes of one entry says nothing about the others.

/// What this replayer believes of the core.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    /// It answers.
    There,
    /// One request got no answer; others go on until the probe has told.
    Doubted,
    /// A connection was refused, or nothing was asked yet: nothing is sent until the probe has told.
    Unclear,
    /// The probe got no answer, or the core takes no postings.
    Away,
}

/// What a probe changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It was away or unclear, and is there.
    Returned,
    /// It was believed there, and is away.
    Fell,
    /// Nothing.
    Same,
}

impl Presence {
    /// May anything be sent or asked now?
    pub(crate) fn may_send(self) -> bool {
        matches!(self, Self::There | Self::Doubted)
    }

    /// Is the probe to be asked?
    pub(crate) fn wants_probe(self) -> bool {
        self != Self::There
    }

    /// A request got no answer.
    pub(crate) fn doubt(&mut self) {
        if *self == Self::There {
            *self = Self::Doubted;
        }
    }

    /// A connection was refused.
    pub(crate) fn question(&mut self) {
        if self.may_send() {
            *self = Self::Unclear;
        }
    }

    /// The probe was answered, or not.
    pub(crate) fn probed(&mut self, up: bool) -> Turn {
        let before = std::mem::replace(self, if up { Self::There } else { Self::Away });
        match (before, up) {
            (Self::Away, true) => Turn::Returned,
            (Self::There | Self::Doubted | Self::Unclear, false) => Turn::Fell,
            _ => Turn::Same,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_without_an_answer_stops_nothing_unless_the_probe_fails_too() {
        let mut core = Presence::There;
        core.doubt();
        assert!(core.may_send() && core.wants_probe());
        assert_eq!(core.probed(true), Turn::Same);
        core.doubt();
        assert_eq!(core.probed(false), Turn::Fell);
        assert!(!core.may_send());
        core.doubt();
        assert_eq!(core, Presence::Away, "what was under way says nothing new");
        assert_eq!((core.probed(false), core.probed(true)), (Turn::Same, Turn::Returned));
        assert!(core.may_send() && !core.wants_probe());
    }

    #[test]
    fn a_refused_connection_holds_everything_back_until_the_probe_has_told() {
        let mut core = Presence::There;
        core.question();
        assert!(!core.may_send() && core.wants_probe());
        assert_eq!(core.probed(true), Turn::Same);
        assert!(core.may_send());
    }
}
