//! What the replayer makes of its tasks' reports.

use failpoints::{Flaw, flawed};
use schemas::entry::{EntryState, Evidence};
use standin::journal::{Claimed, EntryId, JournalError, Moved, Recorded};
use standin::settle::is_posted;
use tokio::time::Instant;

use super::Replayer;
use crate::errands::{Errand, Report};
use crate::inquiry::Came;
use crate::presence::Turn;
use crate::sender::{Answered, Fate};

impl Replayer {
    pub(super) fn hear(&mut self, report: Report) {
        let now = Instant::now();
        match report {
            Report::Orders(paused) => self.hear_orders(paused),
            Report::Probed(up) => self.hear_probe(up),
            Report::Ready(Ok(ready)) => {
                self.looked = Some((now, now.saturating_duration_since(self.looked.map_or(now, |(began, _)| began))));
                self.queue.offer(ready);
            }
            Report::Page { page: Ok(page), read_from_ms } => self.resolver.take_page(page, read_from_ms),
            Report::OpenAttempts { open: Ok(open), asked } => self.end_idle(open, asked),
            Report::Ready(Err(err))
            | Report::Page { page: Err(err), .. }
            | Report::OpenAttempts { open: Err(err), .. } => {
                self.complain("the journal does not answer the replayer", &err);
            }
            Report::Claimed { asked, claimed: Ok(claims) } => {
                self.claiming = 0;
                self.let_go(&asked);
                claims.locked.iter().for_each(|id| self.queue.passed_over(id, now));
                self.lose(&claims.lost);
                self.send_or_return(claims.claimed, now);
            }
            Report::Claimed { asked, claimed: Err(err) } => {
                self.claiming = 0;
                self.let_go(&asked);
                asked.iter().for_each(|id| self.queue.passed_over(id, now));
                self.lose(&asked);
                self.complain("a claim of the replayer failed", &err);
            }
            Report::Answered(answered) => self.hear_answered(answered, now),
            Report::Recorded { id, attempt, offered, recorded } => {
                self.in_hand.remove(&id);
                self.let_go(&offered);
                self.sending -= usize::from(!self.passed_on.remove(&id));
                match recorded {
                    Ok(recorded) => self.hear_recorded(&id, recorded, now),
                    Err(err) => {
                        let rest = self.runs.break_off(&id);
                        self.give_back(rest);
                        self.complain(&format!("what entry {id} came to was not recorded; it will be found out"), &err);
                        self.unrecorded.insert(id, (attempt, now));
                        self.lose(&offered);
                    }
                }
            }
            Report::Resolved { id, came } => self.hear_resolved(&id, came, now),
            Report::Ended { id, attempt, evidence, ended } => {
                self.in_hand.remove(&id);
                match ended {
                    Ok(()) => {
                        self.unrecorded.remove(&id);
                        self.lost.remove(&id);
                    }
                    Err(err) => {
                        self.complain(&format!("attempt {attempt} of {id} could not be ended"), &err);
                        if evidence == Evidence::NotSent {
                            self.lose(std::slice::from_ref(&id));
                        }
                    }
                }
            }
        }
    }

    fn hear_orders(&mut self, paused: Result<bool, JournalError>) {
        if std::mem::take(&mut self.orders_outdated) {
            self.due.insert(Errand::Orders);
            return;
        }
        match paused {
            Ok(paused) => {
                if std::mem::replace(&mut self.paused, paused) && !paused {
                    self.resolver.opened();
                }
            }
            Err(err) => self.complain("the operators' orders cannot be read", &err),
        }
    }

    fn hear_probe(&mut self, up: bool) {
        match self.presence.probed(up) {
            Turn::Returned => {
                tracing::info!("the core is there again; the replay goes on");
                self.queue.core_returned();
                self.resolver.opened();
            }
            Turn::Fell => {
                tracing::info!("the core is away; the replay waits");
                self.pace.fell();
            }
            Turn::Same => {}
        }
    }

    fn hear_answered(&mut self, answered: Answered, now: Instant) {
        let Answered { id, attempt, fate, took, .. } = &answered;
        self.at_core -= 1;
        match fate {
            Fate::Taken => self.queue.taken(id, now),
            Fate::Declined { parked: true } | Fate::Unanswered => self.queue.left(id),
            Fate::Declined { parked: false } => self.queue.declined(id, *attempt, now),
            Fate::CoreAway | Fate::NotTried => self.queue.passed_over(id, now),
        }
        match fate {
            Fate::Taken => {
                self.pace.answered(*took, self.at_core + 1, now);
                self.runs.answered(*took);
            }
            Fate::Unanswered => self.pace.silent(),
            Fate::Declined { .. } | Fate::CoreAway | Fate::NotTried => {}
        }
        match fate {
            Fate::CoreAway => self.presence.question(),
            Fate::Declined { .. } | Fate::Unanswered => self.presence.doubt(),
            Fate::Taken | Fate::NotTried => {}
        }
        self.due.insert(Errand::Probe);
        if self.runs.is_followed(id) {
            self.pass_on(answered);
            return;
        }
        // It leaves a place, which the commit of its record gives to another entry.
        let goes_on = *fate == Fate::Taken
            && self.may_work()
            && self.fence.as_ref() == Some(&answered.sender.fence)
            && self.sending + self.claiming <= self.pace.limit();
        let offered = goes_on.then(|| self.queue.take(1, now, |id| self.in_hand.contains(id)));
        self.in_hand.extend(offered.iter().flatten().cloned());
        let claim = offered.map(|offered| (offered, self.runs.room(1)));
        self.errands.record(answered, claim);
    }

    /// Its place goes to the next of its run: at once if it is posted, and once that is recorded if it is refused. Else the run ends here.
    fn pass_on(&mut self, answered: Answered) {
        let id = &answered.id;
        let posted = is_posted(&answered.changes) || flawed(Flaw::RunGoesOn);
        if posted && self.may_work() {
            self.sending -= 1;
            self.passed_on.insert(id.clone());
            self.runs.goes_on(id);
        } else if posted || answered.fate != Fate::Taken {
            let rest = self.runs.break_off(id);
            self.give_back(rest);
        }
        self.errands.record(answered, None);
    }

    fn hear_recorded(&mut self, id: &EntryId, recorded: Recorded, now: Instant) {
        if self.runs.is_followed(id) {
            let refused = |moved: &Moved| moved.entry.id == *id && moved.entry.state == EntryState::Refused;
            match recorded.moved.iter().any(refused) && self.may_work() {
                true => self.runs.goes_on(id),
                false => {
                    let rest = self.runs.break_off(id);
                    self.give_back(rest);
                }
            }
        }
        self.lose(&recorded.lost);
        recorded.passed_over.iter().for_each(|id| self.queue.passed_over(id, now));
        self.queue.follow(recorded.next);
        self.send_or_return(recorded.claimed, now);
    }

    /// Sends what was claimed, or lets it wait for the one before it. If things have changed since, it goes back to the queue, unsent.
    fn send_or_return(&mut self, claimed: Vec<Claimed>, now: Instant) {
        let fence = self.fence.clone().filter(|_| self.may_work());
        let Some(fence) = fence else { return self.give_back(claimed) };
        for claimed in claimed {
            self.lost.remove(&claimed.entry.id);
            self.in_hand.insert(claimed.entry.id.clone());
            if let Some(claimed) = self.runs.wait(claimed, &fence, now) {
                self.send(&fence, claimed, now);
            }
        }
    }

    fn hear_resolved(&mut self, id: &EntryId, came: Came, now: Instant) {
        self.in_hand.remove(id);
        self.resolving -= 1;
        self.resolver.came(id, &came, now);
        self.lost.remove(id);
        match came {
            Came::Lost(err) => {
                self.lose(std::slice::from_ref(id));
                self.complain(&format!("a resend of entry {id} went unanswered by the journal"), &err);
            }
            Came::InVain { silent: true, .. } => {
                self.presence.doubt();
                self.due.insert(Errand::Probe);
            }
            Came::Unrecorded { attempt } => drop(self.unrecorded.insert(id.clone(), (attempt, now))),
            Came::Failed(err) => self.complain(&format!("a step about entry {id} failed"), &err),
            Came::Settled
            | Came::Waits
            | Came::Pending { .. }
            | Came::NotFound { .. }
            | Came::InVain { silent: false, .. } => {}
        }
    }
}
