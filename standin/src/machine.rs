//! Which machine this is, and which start of its kernel.

use std::fs;
use std::path::Path;

/// What tells machines apart. A container may have neither.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Machine {
    /// `/etc/machine-id`: one installation.
    pub machine_id: Option<String>,
    /// One start of a kernel; containers have that of their host.
    pub boot_id: Option<String>,
}

impl Machine {
    /// This one. A file that is not there is no error.
    pub fn this() -> Self {
        Self { machine_id: word_of("/etc/machine-id"), boot_id: word_of("/proc/sys/kernel/random/boot_id") }
    }

    /// Was `kept` the same machine? Then whatever ran there before has ended with its kernel, or is seen by this one's locks.
    ///
    /// One start of a kernel is one machine. Of two starts the machine's own id tells; where it is not known, they are taken to be of
    /// two machines.
    pub fn is_that_of(&self, kept: &Self) -> bool {
        let same = |one: &Option<String>, other: &Option<String>| Some(one.as_ref()? == other.as_ref()?);
        match (same(&self.boot_id, &kept.boot_id), same(&self.machine_id, &kept.machine_id)) {
            (Some(true), _) => true,
            (_, Some(same)) => same,
            // Nothing of it can be known here, now or then.
            (None, None) => true,
            (Some(false), None) => false,
        }
    }

    /// As a file keeps it: one id a line, empty where there is none.
    pub(crate) fn to_text(&self) -> String {
        let [machine_id, boot_id] = [&self.machine_id, &self.boot_id].map(|id| id.as_deref().unwrap_or_default());
        format!("{machine_id}\n{boot_id}\n")
    }

    pub(crate) fn from_text(text: &str) -> Self {
        let mut ids = text.lines().map(|line| Some(line.trim().to_owned()).filter(|id| !id.is_empty()));
        Self { machine_id: ids.next().flatten(), boot_id: ids.next().flatten() }
    }
}

fn word_of(path: impl AsRef<Path>) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    // systemd writes `uninitialized` where no id was made yet.
    Some(text.trim().to_owned()).filter(|id| !id.is_empty() && id != "uninitialized")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(machine_id: &str, boot_id: &str) -> Machine {
        Machine::from_text(&format!("{machine_id}\n{boot_id}\n"))
    }

    #[test]
    fn a_machine_is_known_by_its_kernels_start_or_by_its_own_id() {
        for (kept, now, same) in [
            (machine("m", "1"), machine("m", "1"), true),
            (machine("m", "1"), machine("m", "2"), true),
            (machine("m", "1"), machine("n", "2"), false),
            (machine("", "1"), machine("", "1"), true),
            (machine("", "1"), machine("", "2"), false),
            (machine("m", "1"), machine("", "1"), true),
            (machine("m", "1"), machine("", "2"), false),
            (machine("m", ""), machine("m", ""), true),
            (machine("", ""), machine("", ""), true),
        ] {
            assert_eq!(now.is_that_of(&kept), same, "{kept:?} {now:?}");
        }
    }

    #[test]
    fn what_is_kept_reads_back() {
        for kept in [machine("m", "1"), machine("", "1"), machine("m", ""), Machine::default()] {
            assert_eq!(Machine::from_text(&kept.to_text()), kept);
        }
        assert_eq!(word_of("/nowhere/machine-id"), None);
    }
}
