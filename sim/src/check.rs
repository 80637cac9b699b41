//! The judge. When all is quiet it compares the core's books, the journal's tables and what clients were told.

use std::collections::{BTreeMap, BTreeSet};

use schemas::entry::{EntryState, Evidence, LegKind};
use sql::{Db, Row};
use standin::lane::{LanePlace, lane_place};
use standin::rules::Path;

use crate::client::{Answer, Told};
use crate::core::{Booked, Core, INSUFFICIENT, OPENING_MINOR, short};

/// An entry as its row tells, with its transitions.
pub struct Entry {
    /// Identity.
    pub id: String,
    core_ref: String,
    state: EntryState,
    ordered: bool,
    contradicted: bool,
    reason: Option<String>,
    /// Its newest decision was stand-in's, and it was accepted.
    by_stand_in: bool,
    /// State and evidence of each version, from the first.
    pub steps: Vec<(String, String)>,
}

impl Entry {
    /// Was it queued from the beginning? Only what waits for its turn with the core there was not promised with that.
    fn was_queued(&self) -> bool {
        self.steps.first().is_some_and(|(state, _)| state == EntryState::Queued.as_str())
    }

    /// Was it promised, and so in the order of its lanes, from the beginning? A new decision after an attempt that was not sent comes later.
    fn was_promised_at_once(&self) -> bool {
        let again = |(_, evidence): &(String, String)| evidence == Evidence::NotSent.as_str();
        self.was_queued() && self.by_stand_in && !self.steps.iter().any(again)
    }

    /// Did stand-in promise it before anything of it was sent?
    fn was_taken_for_covered(&self) -> bool {
        let waited = self.steps.iter().take_while(|(state, _)| state == EntryState::Queued.as_str());
        self.was_queued() && (self.by_stand_in || waited.skip(1).any(|(_, evidence)| evidence == "answered"))
    }
}

struct Leg {
    entry: String,
    account: String,
    seq: i64,
    open: bool,
    in_order: bool,
    debit: bool,
    amount_minor: i64,
    counts: bool,
}

/// Breaks that are about a row. The others are alarms about rows that did not come; a clock that is set may raise one too early.
const BREAKS: &str = "SELECT COUNT(*) AS n FROM breaks WHERE leg <> ''";

/// The journal's tables.
pub struct Tables {
    /// By id.
    pub entries: BTreeMap<String, Entry>,
    legs: Vec<Leg>,
    lanes: BTreeMap<String, (i64, i64, i64, bool)>,
    open_attempts: BTreeMap<String, i64>,
    breaks: i64,
    balances: BTreeMap<String, (i64, i64)>,
}

/// A rule that is broken, and by what.
pub type Finding = (&'static str, String);

impl Tables {
    /// Reads all tables.
    pub async fn read(db: &Db) -> Result<Self, sql::Error> {
        let mut steps: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
        for row in
            db.query("SELECT entry_id, state, evidence FROM transitions ORDER BY entry_id, version", vec![]).await?
        {
            steps.entry(row.get("entry_id")?).or_default().push((row.get("state")?, row.get("evidence")?));
        }
        let sql = "SELECT id, core_ref, state, ordered, contradicted, reason, decision FROM entries ORDER BY id";
        let mut entries = BTreeMap::new();
        for row in db.query(sql, vec![]).await? {
            let id: String = row.get("id")?;
            let state = EntryState::parse(row.get("state")?).ok_or(sql::Error::Configuration("state".into()))?;
            let decision: serde_json::Value = serde_json::from_slice(row.get("decision")?).unwrap_or_default();
            let entry = Entry {
                by_stand_in: decision["path"] == Path::StandIn.as_str() && decision["outcome"] == "accepted",
                core_ref: row.get("core_ref")?,
                state,
                ordered: row.get("ordered")?,
                contradicted: row.get("contradicted")?,
                reason: row.get("reason")?,
                steps: steps.remove(&id).unwrap_or_default(),
                id: id.clone(),
            };
            entries.insert(id, entry);
        }
        let sql = "SELECT entry_id, account, seq, open, kind, in_order, amount_minor, released_at FROM legs ORDER BY account, seq";
        let leg = |row: &Row| -> Result<Leg, sql::Error> {
            Ok(Leg {
                entry: row.get("entry_id")?,
                account: row.get("account")?,
                seq: row.get("seq")?,
                open: row.get("open")?,
                in_order: row.get("in_order")?,
                debit: row.get::<String>("kind")? == LegKind::Debit.as_str(),
                amount_minor: row.get("amount_minor")?,
                counts: row.get::<Option<Vec<u8>>>("released_at")?.is_none(),
            })
        };
        let legs = db.query(sql, vec![]).await?.iter().map(leg).collect::<Result<_, _>>()?;
        let mut lanes = BTreeMap::new();
        for row in db.query("SELECT * FROM lanes", vec![]).await? {
            let lane = (row.get("ordered")?, row.get("direct")?, row.get("held_minor")?, row.get("stopped")?);
            lanes.insert(row.get("account")?, lane);
        }
        let mut open_attempts: BTreeMap<String, i64> = BTreeMap::new();
        for row in db.query("SELECT entry_id FROM attempts WHERE ended_us IS NULL", vec![]).await? {
            *open_attempts.entry(row.get("entry_id")?).or_default() += 1;
        }
        let breaks = db.query(BREAKS, vec![]).await?.first().map_or(Ok(0), |row| row.get("n"))?;
        let mut balances = BTreeMap::new();
        for row in db.query("SELECT * FROM books", vec![]).await? {
            balances.insert(row.get("account")?, (row.get("booked")?, row.get("last_posting")?));
        }
        Ok(Self { entries, legs, lanes, open_attempts, breaks, balances })
    }

    /// Has everything come to its end?
    pub fn are_quiet(&self, core: &Core) -> bool {
        let ended = |entry: &Entry| entry.state.is_terminal();
        self.entries.values().all(ended) && self.open_attempts.is_empty() && core.events(1).is_empty()
    }

    /// Every rule that is broken.
    pub fn judge(&self, core: &Core, answers: &[Answer]) -> Vec<Finding> {
        let books = core.books();
        let mut findings = Vec::new();
        self.judge_endings(&mut findings);
        self.judge_books(&books, &mut findings);
        self.judge_answers(answers, &mut findings);
        self.judge_order(&books, answers, &mut findings);
        self.judge_lanes(&mut findings);
        self.judge_money(core, &mut findings);
        findings
    }

    /// Nothing is left unresolved for ever, and nothing contradicts.
    fn judge_endings(&self, findings: &mut Vec<Finding>) {
        for entry in self.entries.values() {
            if !entry.state.is_terminal() {
                findings.push(("liveness", format!("{} stays {}", short(&entry.id), entry.state)));
            }
            if entry.contradicted {
                findings.push(("contradiction", format!("{} is {}", short(&entry.id), entry.state)));
            }
            if self.open_attempts.contains_key(&entry.id) {
                findings.push(("liveness", format!("an attempt of {} stays open", short(&entry.id))));
            }
        }
        if self.breaks > 0 {
            findings.push(("contradiction", format!("{} breaks", self.breaks)));
        }
    }

    /// Each entry's effect is in the core's books once at most, and exactly if its end says so.
    fn judge_books(&self, books: &[Booked], findings: &mut Vec<Finding>) {
        let mut posted: BTreeMap<&str, usize> = BTreeMap::new();
        for booked in books {
            *posted.entry(&booked.core_ref).or_default() += 1;
        }
        let refs: BTreeSet<&str> = self.entries.values().map(|entry| entry.core_ref.as_str()).collect();
        for (core_ref, times) in &posted {
            if *times > 1 {
                findings.push(("at-most-once", format!("{} is posted {times} times", short(core_ref))));
            }
            if !refs.contains(core_ref) {
                findings.push(("intent", format!("{} is posted and in no journal", short(core_ref))));
            }
        }
        for entry in self.entries.values() {
            let is_posted = posted.contains_key(entry.core_ref.as_str());
            let says_so = matches!(entry.state, EntryState::Posted | EntryState::Confirmed);
            if entry.state.is_terminal() && says_so != is_posted {
                let which = if is_posted { "posted" } else { "not posted" };
                findings.push(("truth", format!("{} is {} and {which}", short(&entry.id), entry.state)));
            }
            // Stand-in took it for covered, and only our own entries take money from these accounts.
            let short_of_money = entry.state == EntryState::Refused && entry.reason.as_deref() == Some(INSUFFICIENT);
            if short_of_money && entry.was_taken_for_covered() {
                findings.push(("cover", format!("{} was accepted without cover", short(&entry.id))));
            }
        }
    }

    /// What a client was told is kept, and the same for the same key.
    fn judge_answers(&self, answers: &[Answer], findings: &mut Vec<Finding>) {
        let mut by_key: BTreeMap<&str, &str> = BTreeMap::new();
        for answer in answers {
            let (key, id) = (answer.key.as_str(), short(&answer.entry));
            if !answer.as_asked {
                findings.push(("keys", format!("{key} was answered with another command")));
            }
            if *by_key.entry(key).or_insert(&answer.entry) != answer.entry {
                findings.push(("keys", format!("{key} has two entries")));
            }
            let Some(entry) = self.entries.get(&answer.entry) else {
                findings.push(("durability", format!("{id} was answered and is not there")));
                continue;
            };
            let kept = match (answer.told, entry.state) {
                (Told::Posted, state) => state == EntryState::Confirmed || !state.is_terminal(),
                // A refusal of the core ends a promise, and so does a person. The machine itself does not.
                (Told::Accepted, state) => state != EntryState::Declined,
                (Told::Failed, state) => !matches!(state, EntryState::Confirmed | EntryState::Posted),
            };
            if !kept {
                findings.push(("promise", format!("{id} was told {:?} and is {}", answer.told, entry.state)));
            }
            if answer.told == Told::Accepted && !entry.ordered && entry.state.is_open() {
                findings.push(("promise", format!("{id} was accepted and has no place")));
            }
        }
    }

    /// What has a place in a lane is posted before everything that came into the lane later.
    fn judge_order(&self, books: &[Booked], answers: &[Answer], findings: &mut Vec<Finding>) {
        let place: BTreeMap<&str, usize> =
            books.iter().enumerate().rev().map(|(n, b)| (b.core_ref.as_str(), n)).collect();
        let booked = |leg: &Leg| place.get(self.entries.get(&leg.entry)?.core_ref.as_str()).copied();
        let promised_before = |earlier: &Leg, later: &Leg| {
            let first = |id: &str| {
                answers.iter().filter(|a| a.entry == id && a.told == Told::Accepted).map(|a| a.between.1).min()
            };
            let begun = |id: &str| answers.iter().filter(|a| a.entry == id).map(|a| a.between.0).min();
            matches!((first(&earlier.entry), begun(&later.entry)), (Some(told), Some(begun)) if told < begun)
        };
        let in_order: Vec<&Leg> = self.legs.iter().filter(|leg| leg.in_order).collect();
        for (n, earlier) in in_order.iter().enumerate() {
            for later in in_order[n + 1..].iter().take_while(|later| later.account == earlier.account) {
                let Some(entry) = self.entries.get(&earlier.entry) else { continue };
                if !entry.was_promised_at_once() && !promised_before(earlier, later) {
                    continue;
                }
                if let (Some(one), Some(other)) = (booked(earlier), booked(later))
                    && one > other
                {
                    let (one, other) = (short(&earlier.entry), short(&later.entry));
                    let what =
                        format!("{other} overtook {one} on {} ({} < {})", earlier.account, earlier.seq, later.seq);
                    findings.push(("order", what));
                }
            }
        }
    }

    /// Lanes say the same as their legs.
    fn judge_lanes(&self, findings: &mut Vec<Finding>) {
        for (account, (ordered, direct, held_minor, stopped)) in &self.lanes {
            let mine: Vec<&Leg> = self.legs.iter().filter(|leg| leg.account == *account).collect();
            let count = |which| {
                let stands = |leg: &&&Leg| {
                    let entry = self.entries.get(&leg.entry);
                    entry.is_some_and(|entry| lane_place(entry.state, entry.ordered) == which)
                };
                i64::try_from(mine.iter().filter(|leg| leg.in_order).filter(stands).count()).unwrap_or(i64::MAX)
            };
            let held: i64 = mine.iter().filter(|leg| leg.counts && leg.debit).map(|leg| leg.amount_minor).sum();
            let told = (*ordered, *direct, *held_minor);
            let found = (count(LanePlace::Ordered), count(LanePlace::Direct), held);
            if told != found {
                findings.push(("lanes", format!("{account}: {told:?}, and its legs say {found:?}")));
            }
            if *stopped {
                findings.push(("contradiction", format!("the lane of {account} is stopped")));
            }
            if mine.iter().any(|leg| leg.debit && !leg.in_order) {
                findings.push(("lanes", format!("a debit of {account} has no place in its order")));
            }
            let quiet =
                mine.iter().all(|leg| self.entries.get(&leg.entry).is_some_and(|entry| entry.state.is_terminal()));
            if quiet && *held_minor != 0 {
                findings.push(("holds", format!("{held_minor} are held on {account} for ever")));
            }
            let open =
                |leg: &Leg| leg.in_order && self.entries.get(&leg.entry).is_some_and(|entry| entry.state.is_open());
            if mine.iter().any(|leg| leg.open != open(leg)) {
                findings.push((
                    "lanes",
                    format!("a leg on {account} is open and its entry is not, or the other way round"),
                ));
            }
        }
    }

    /// No money is made or lost, and the read model has what the core has.
    fn judge_money(&self, core: &Core, findings: &mut Vec<Finding>) {
        let accounts = core.accounts();
        let count = i64::try_from(accounts.len()).unwrap_or(0);
        let all: i64 = accounts.values().map(|(minor, _)| minor).sum();
        if all != count * OPENING_MINOR || accounts.values().any(|(minor, _)| *minor < 0) {
            findings.push(("money", format!("{all} on {count} accounts")));
        }
        if core.events(1).is_empty() && accounts != self.balances {
            findings.push(("money", "the read model and the core's books differ".into()));
        }
    }
}
