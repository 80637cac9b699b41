//! Why a source stops, and the command that lets it go on. Pure.

/// How a halted source goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// The cause can be removed; then the same record is read again.
    Resume,
    /// What is stored cannot be continued from the log as it is now: it must be read anew.
    Rebuild,
}

/// Why nothing more of a source may be applied until a person decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Halt {
    reason: String,
    way: Way,
}

/// Longest reason that is kept, in characters; the command that follows it always fits.
const REASON_CHARS_MAX: usize = 380;

impl Halt {
    /// A halt whose cause can be removed.
    pub fn resumable(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), way: Way::Resume }
    }

    /// A halt after which the source must be read anew.
    pub fn rebuild(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), way: Way::Rebuild }
    }

    /// Why.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// How it goes on.
    pub fn way(&self) -> Way {
        self.way
    }

    /// What a person reads: the reason, and the command that goes on.
    pub fn text(&self, source: &str) -> String {
        let reason: String = self.reason.chars().take(REASON_CHARS_MAX).collect();
        match self.way {
            Way::Resume => format!("{reason}. When that is mended: locum source resume {source}"),
            Way::Rebuild => format!("{reason}. To go on: {REBUILD} {source}"),
        }
    }
}

const REBUILD: &str = "locum source rebuild";

/// True when resuming a source halted with this text would only meet the same record again.
pub fn needs_rebuild(halted: &str) -> bool {
    halted.contains(REBUILD)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_halt_names_the_command_that_goes_on_however_long_its_reason_is() {
        let long = "ä".repeat(2_000);
        let (resume, rebuild) = (Halt::resumable(&*long).text("core"), Halt::rebuild(&*long).text("core"));
        assert!(resume.ends_with("locum source resume core") && !needs_rebuild(&resume));
        assert!(rebuild.ends_with("locum source rebuild core") && needs_rebuild(&rebuild));
        assert!(resume.chars().count() <= 512 && rebuild.chars().count() <= 512);
    }
}
