//! How long the journal keeps what, where its archive is, and how long delete markers stay.

use std::path::PathBuf;

use serde::Deserialize;
use standin::journal;

use super::Fault;

/// Longest month.
const MONTH_DAYS: u32 = 31;
/// For so many days a key is honoured, at least, where nothing else is said.
const KEYS_DAYS: u32 = 400;
/// Least days for which delete markers stay: a connector that was away over a long weekend sends what it had sent before.
const MARKERS_DAYS_MIN: u32 = 7;
/// A century, so that no sum of days leaves its bounds.
const DAYS_MAX: u32 = 36_525;
/// Entries of one file: a file of some hundred megabytes, which a person can still look at.
const ENTRIES_PER_FILE: u64 = 1_000_000;

/// How long the journal keeps what, and the read model its delete markers.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    /// Entries stay for so many full months after the one in which they ended. Default none: for ever.
    pub journal_months: Option<u32>,
    /// Folder of the archive's files.
    pub directory: Option<PathBuf>,
    /// A key is honoured for so long after its entry ended. Default 400 days, or as long as entries stay, if that is longer.
    pub keys_days: Option<u32>,
    /// A reference that the core was told is known for so long after its entry ended. Default none: for ever.
    pub references_days: Option<u32>,
    /// Delete markers of transactions stay for so long: longer than any connector may send a change once more. Default none: as long as
    /// their generation.
    pub delete_markers_days: Option<u32>,
}

impl Retention {
    /// As the journal takes it; `None`: nothing is ever archived.
    pub fn options(&self) -> Option<journal::Retention> {
        let (months, directory) = (self.journal_months?, self.directory.clone()?);
        Some(journal::Retention {
            journal_months: months,
            directory,
            keys_days: self.keys_days_for(months),
            references_days: self.references_days,
            entries_per_file: ENTRIES_PER_FILE,
        })
    }

    fn keys_days_for(&self, months: u32) -> u32 {
        self.keys_days.unwrap_or_else(|| KEYS_DAYS.max(stay_days(months)))
    }

    /// What contradicts itself.
    pub(super) fn check(&self, faults: &mut Vec<Fault>) {
        let mut fault = |key: &str, text: String| faults.push(Fault::new(format!("retention.{key}"), text));
        if self.delete_markers_days.is_some_and(|days| !(MARKERS_DAYS_MIN..=DAYS_MAX).contains(&days)) {
            fault(
                "delete_markers_days",
                format!(
                    "must be {MARKERS_DAYS_MIN} to {DAYS_MAX}; leave it out to keep delete markers with their generation"
                ),
            );
        }
        let Some(months) = self.journal_months else {
            let without = [
                ("directory", self.directory.is_some()),
                ("keys_days", self.keys_days.is_some()),
                ("references_days", self.references_days.is_some()),
            ];
            for (key, _) in without.into_iter().filter(|(_, given)| *given) {
                fault(key, "does nothing without journal_months: everything is kept; give both, or neither".into());
            }
            return;
        };
        if !(1..=1_200).contains(&months) {
            fault("journal_months", "must be 1 to 1200; leave it out to keep everything".into());
            return;
        }
        match &self.directory {
            None => fault("directory", "is missing; name the folder that the archive is written to".into()),
            Some(folder) if !folder.is_dir() => {
                fault("directory", format!("{} is not a folder; make it, and let Locum write there", folder.display()));
            }
            Some(_) => {}
        }
        let stay_days = stay_days(months);
        if let Some(days) = self.keys_days.filter(|days| *days < stay_days) {
            fault(
                "keys_days",
                format!(
                    "is {days}, and entries with their keys stay in the tables for up to {stay_days} days (journal_months: {months}); \
                     raise it, or leave it out"
                ),
            );
        }
        let keys_days = self.keys_days_for(months);
        if let Some(days) = self.references_days.filter(|days| *days < keys_days) {
            fault(
                "references_days",
                format!(
                    "is {days}, less than the {keys_days} days for which keys are honoured; raise it, or leave it out to know references \
                     for ever"
                ),
            );
        }
        for (key, days) in [("keys_days", self.keys_days), ("references_days", self.references_days)] {
            if days.is_some_and(|days| days > DAYS_MAX) {
                fault(key, format!("must be {DAYS_MAX} at most"));
            }
        }
    }
}

/// Longest time that an entry which may leave stays in the tables after its end: the rest of its own month, and the full ones.
fn stay_days(journal_months: u32) -> u32 {
    journal_months.saturating_add(1).saturating_mul(MONTH_DAYS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(retention: &Retention) -> Vec<String> {
        let mut faults = Vec::new();
        retention.check(&mut faults);
        faults.iter().map(ToString::to_string).collect()
    }

    fn kept(journal_months: u32) -> Retention {
        Retention {
            journal_months: Some(journal_months),
            directory: Some(std::env::temp_dir()),
            ..Retention::default()
        }
    }

    #[test]
    fn without_months_everything_is_kept_and_what_would_do_nothing_is_told() {
        assert_eq!(faults(&Retention::default()), [""; 0]);
        assert!(Retention::default().options().is_none());
        let found = faults(&Retention { keys_days: Some(500), ..Retention::default() });
        assert!(found[0].starts_with("retention.keys_days: does nothing without journal_months"), "{found:?}");
    }

    #[test]
    fn keys_are_honoured_for_as_long_as_entries_stay_at_least() {
        assert_eq!(faults(&kept(3)), [""; 0]);
        assert_eq!(kept(3).options().map(|options| options.keys_days), Some(400));
        assert_eq!(faults(&kept(24)), [""; 0]);
        assert_eq!(kept(24).options().map(|options| options.keys_days), Some(775));
        let found = faults(&Retention { keys_days: Some(60), ..kept(1) });
        assert!(
            found[0].contains("is 60, and entries with their keys stay in the tables for up to 62 days"),
            "{found:?}"
        );
        let found = faults(&Retention { references_days: Some(399), ..kept(1) });
        assert!(found[0].contains("less than the 400 days"), "{found:?}");
    }

    #[test]
    fn delete_markers_stay_for_a_week_at_least_whatever_the_journal_keeps() {
        let markers = |days| Retention { delete_markers_days: Some(days), ..Retention::default() };
        assert_eq!(faults(&markers(7)), [""; 0]);
        for days in [0, 6, 36_526] {
            let found = faults(&markers(days));
            assert!(found[0].starts_with("retention.delete_markers_days: must be 7 to 36525"), "{found:?}");
        }
    }

    #[test]
    fn a_folder_that_is_not_there_and_months_out_of_bounds_are_told() {
        let nowhere = Some(std::env::temp_dir().join("locum-no-such-folder"));
        let found = faults(&Retention { directory: nowhere, ..kept(1) });
        assert!(found[0].starts_with("retention.directory: ") && found[0].contains("is not a folder"), "{found:?}");
        let found = faults(&Retention { directory: None, ..kept(1) });
        assert!(found[0].contains("is missing"), "{found:?}");
        assert!(faults(&kept(0))[0].starts_with("retention.journal_months: must be 1"));
    }
}
