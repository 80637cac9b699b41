//! What a decision rested on, as it is kept with the entry: for people who must explain it later.
//!
//! Compact JSON with a version, without personal data: legs are told apart by their side, not by their account.

use serde::Serialize;

use super::Decision;
use super::Proposal;
use super::ProposedLeg;
use crate::account::AccountFacts;
use crate::lane::Lane;
use crate::rules::Path;

/// Form of the record.
const VERSION: u32 = 1;

/// Everything that was looked at.
#[derive(Serialize)]
struct Record<'a> {
    v: u32,
    path: &'static str,
    outcome: &'static str,
    limits_version: i64,
    /// Absent: no age is attested.
    #[serde(skip_serializing_if = "Option::is_none")]
    data_age_s: Option<i64>,
    business_day: i64,
    legs: Vec<LegRecord<'a>>,
    /// The lane of all accounts; absent where it was not looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    global: Option<LaneRecord>,
}

#[derive(Serialize)]
struct LegRecord<'a> {
    side: &'static str,
    lane: LaneRecord,
    /// Absent: our data showed no such account.
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<AccountRecord<'a>>,
}

#[derive(Serialize)]
struct LaneRecord {
    version: i64,
    ordered: i64,
    direct: i64,
    held_minor: i64,
    stopped: bool,
    used_minor: i64,
    used_count: i64,
}

#[derive(Serialize)]
struct AccountRecord<'a> {
    status: &'static str,
    currency: &'a str,
    booked_minor: i64,
    overdraft_line_minor: i64,
    core_holds_minor: i64,
    #[serde(flatten)]
    balance: BalancePlace,
}

/// Which balance it was.
#[derive(Debug, Clone, Serialize)]
pub struct BalancePlace {
    /// Number of the last posting it includes, where the core numbers them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_posting: Option<i64>,
    /// Its version, in hexadecimal digits.
    pub balance_version: String,
}

/// The record of a decision. `places` are those of the legs' balances, in their order; `None` where there is no account.
pub fn record(
    proposal: &Proposal<'_>,
    places: Vec<Option<BalancePlace>>,
    limits_version: i64,
    path: Path,
    decision: Decision,
) -> Result<Vec<u8>, serde_json::Error> {
    let legs = proposal.legs.iter().zip(places).map(|(leg, place)| leg_record(leg, place)).collect();
    serde_json::to_vec(&Record {
        v: VERSION,
        path: path.as_str(),
        outcome: match decision {
            Decision::Direct | Decision::Queue => "accepted",
            Decision::Wait => "waits",
            Decision::Decline(reason) => reason.code(),
        },
        limits_version,
        data_age_s: proposal.data_age_s,
        business_day: proposal.business_day,
        legs,
        global: proposal.global.map(lane_record),
    })
}

fn leg_record<'a>(leg: &ProposedLeg<'a>, place: Option<BalancePlace>) -> LegRecord<'a> {
    LegRecord {
        side: leg.kind.as_str(),
        lane: lane_record(leg.lane),
        account: leg.account.zip(place).map(|(facts, balance)| account_record(facts, balance)),
    }
}

fn lane_record(lane: &Lane) -> LaneRecord {
    LaneRecord {
        version: lane.version,
        ordered: lane.ordered,
        direct: lane.direct,
        held_minor: lane.held_minor,
        stopped: lane.stopped,
        used_minor: lane.usage.amount_minor,
        used_count: lane.usage.count,
    }
}

fn account_record(facts: &AccountFacts, balance: BalancePlace) -> AccountRecord<'_> {
    AccountRecord {
        status: facts.status.as_str(),
        currency: facts.currency.code(),
        booked_minor: facts.booked_minor,
        overdraft_line_minor: facts.overdraft_line_minor,
        core_holds_minor: facts.core_holds_minor,
        balance,
    }
}
