//! The bank's own day: which business date a write belongs to.

use jiff::Timestamp;
use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use serde::Deserialize;

const EPOCH: Date = Date::constant(1970, 1, 1);

/// Where the bank's days begin. Limits per day and value dates follow it; all processes of one journal must have the same.
///
/// It says only which day a moment belongs to. The moment is the SQL server's (ADR 0020), whichever host asks.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Settings")]
pub struct Calendar {
    zone: TimeZone,
    cut_off: Option<Time>,
}

/// As the configuration writes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    #[serde(default)]
    time_zone: Option<String>,
    #[serde(default)]
    cut_off: Option<String>,
}

impl Default for Calendar {
    /// Days of UTC, from midnight to midnight.
    fn default() -> Self {
        Self { zone: TimeZone::UTC, cut_off: None }
    }
}

impl TryFrom<Settings> for Calendar {
    type Error = String;

    fn try_from(settings: Settings) -> Result<Self, String> {
        let zone = match settings.time_zone.as_deref() {
            None | Some("UTC") => TimeZone::UTC,
            Some(name) => {
                TimeZone::get(name).map_err(|_| "time_zone must be a name such as Europe/Zurich".to_owned())?
            }
        };
        let time = |text: String| Time::strptime("%H:%M", text).map_err(|_| "cut_off must be a time such as 17:30");
        Ok(Self { zone, cut_off: settings.cut_off.map(time).transpose()? })
    }
}

impl Calendar {
    /// Days since 1970-01-01 of the business date at this instant: the local date, from the cut-off on the next one.
    pub fn business_day(&self, at: Timestamp) -> i64 {
        let local = self.zone.to_datetime(at);
        let next = self.cut_off.is_some_and(|cut_off| local.time() >= cut_off);
        let days = local.date().duration_since(EPOCH).as_hours() / 24;
        days + i64::from(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calendar(settings: serde_json::Value) -> Result<Calendar, serde_json::Error> {
        serde_json::from_value(settings)
    }

    fn day(calendar: &Calendar, at: &str) -> String {
        let days = jiff::Span::new().days(calendar.business_day(at.parse().unwrap()));
        EPOCH.checked_add(days).unwrap().to_string()
    }

    #[test]
    fn a_day_begins_where_the_bank_is_and_ends_at_its_cut_off() {
        let utc = Calendar::default();
        assert_eq!(day(&utc, "2026-02-28T23:59:59.999999Z"), "2026-02-28");
        assert_eq!(day(&utc, "2026-03-01T00:00:00Z"), "2026-03-01");
        assert_eq!(day(&utc, "1969-12-31T23:59:59Z"), "1969-12-31");
        let singapore = calendar(serde_json::json!({"time_zone": "Asia/Singapore"})).unwrap();
        assert_eq!(day(&singapore, "2026-02-28T15:59:59Z"), "2026-02-28");
        assert_eq!(day(&singapore, "2026-02-28T16:00:00Z"), "2026-03-01");
        let zurich = calendar(serde_json::json!({"time_zone": "Europe/Zurich", "cut_off": "17:30"})).unwrap();
        for (at, expected) in [
            ("2026-01-15T16:29:59Z", "2026-01-15"),
            ("2026-01-15T16:30:00Z", "2026-01-16"),
            ("2026-07-15T15:29:59Z", "2026-07-15"),
            ("2026-07-15T15:30:00Z", "2026-07-16"),
            // The hour that comes twice is one day's.
            ("2026-10-25T00:30:00Z", "2026-10-25"),
            ("2026-10-25T01:30:00Z", "2026-10-25"),
        ] {
            assert_eq!(day(&zurich, at), expected, "{at}");
        }
    }

    #[test]
    fn what_is_no_zone_or_no_time_is_told() {
        for (settings, part) in [
            (serde_json::json!({"time_zone": "Atlantis/Main"}), "time_zone must be"),
            (serde_json::json!({"cut_off": "25:00"}), "cut_off must be"),
            (serde_json::json!({"cut_off": "5 pm"}), "cut_off must be"),
            (serde_json::json!({"zone": "UTC"}), "unknown field"),
        ] {
            let told = calendar(settings).unwrap_err().to_string();
            assert!(told.contains(part), "{told}");
        }
        assert_eq!(calendar(serde_json::json!({})).unwrap(), Calendar::default());
    }
}
