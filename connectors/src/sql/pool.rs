//! The sessions at one core: bounded, used again while they are good, ended on any doubt.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use schemas::core::Unsent;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout_at};

use super::config::Server;
use super::login::Login;
use super::outcome::Trouble;
use super::session::{Begin, Session};

/// Of the time for an answer, this part is for its way back: the server's clock ends a statement before ours does.
const ANSWER_SHARE: u32 = 10;
/// Bounds of that part.
const ANSWER_MIN: Duration = Duration::from_millis(50);
const ANSWER_MAX: Duration = Duration::from_millis(500);

/// Why no session is ready. Not a byte of the statement was sent.
pub(super) struct Unready {
    pub(super) why: Unsent,
    pub(super) reason: String,
}

/// The sessions at one core.
pub(super) struct Pool {
    server: Server,
    login: Login,
    permits: Semaphore,
    idle: Mutex<Vec<Idle>>,
}

struct Idle {
    session: Session,
    since: Instant,
}

impl Pool {
    pub(super) fn new(server: Server, login: Login) -> Self {
        let permits = Semaphore::new(login.limits.connections_max);
        Self { server, login, permits, idle: Mutex::default() }
    }

    /// One of the places that there are; a probe needs none.
    pub(super) async fn place(&self, deadline: Instant) -> Result<SemaphorePermit<'_>, Unready> {
        match timeout_at(deadline, self.permits.acquire()).await {
            Ok(Ok(place)) => Ok(place),
            _ => Err(Unready { why: Unsent::NotTried, reason: "every connection to the core stayed busy".to_owned() }),
        }
    }

    /// A session that has just answered and has begun. An idle one that fails was lost while it was idle; the next one is tried.
    pub(super) async fn ready(&self, begin: Begin, deadline: Instant) -> Result<Session, Unready> {
        while let Some(mut session) = self.take() {
            let Some(statement) = self.statement_time(deadline) else {
                self.put(session);
                return Err(late());
            };
            if session.begin(begin, statement, deadline).await.is_ok() {
                return Ok(session);
            }
        }
        // A file of ours that cannot be read says nothing of the core.
        let password = self.login.password().map_err(|reason| Unready { why: Unsent::NotTried, reason })?;
        let connect_by = deadline.min(Instant::now() + Duration::from_millis(self.login.limits.connect_ms_max));
        let opened = Session::open(self.server, &self.login, password, connect_by).await;
        let mut session = opened.map_err(|trouble| unready(unopened(&trouble), &trouble, deadline))?;
        let statement = self.statement_time(deadline).ok_or_else(late)?;
        match session.begin(begin, statement, deadline).await {
            Ok(()) => Ok(session),
            Err(trouble) => Err(unready(Unsent::ConnectionLost, &trouble, deadline)),
        }
    }

    /// How long the server may work on a statement; `None` where too little time is left to ask.
    fn statement_time(&self, deadline: Instant) -> Option<Duration> {
        let max = Duration::from_millis(self.login.limits.statement_ms_max);
        statement_time(deadline.saturating_duration_since(Instant::now()), max)
    }

    /// The session used last that is still good; the others age at the bottom.
    fn take(&self) -> Option<Session> {
        let mut idle = self.idle();
        idle.retain(|idle| self.is_good(idle));
        idle.pop().map(|idle| idle.session)
    }

    /// Takes back a session that is in step and outside a transaction.
    pub(super) fn put(&self, session: Session) {
        let idle = Idle { session, since: Instant::now() };
        if self.is_good(&idle) {
            self.idle().push(idle);
        }
    }

    fn is_good(&self, idle: &Idle) -> bool {
        let limits = &self.login.limits;
        // The server ends it at the whole of this time.
        let idle_max = Duration::from_millis(limits.idle_ms_max) * 9 / 10;
        idle.since.elapsed() < idle_max && idle.session.opened().elapsed() < Duration::from_millis(limits.age_ms_max)
    }

    /// How many sessions lie idle and good.
    pub(super) fn idle_sessions(&self) -> usize {
        self.idle().iter().filter(|idle| self.is_good(idle)).count()
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn statement_time(left: Duration, max: Duration) -> Option<Duration> {
    let answer = (left / ANSWER_SHARE).clamp(ANSWER_MIN, ANSWER_MAX);
    let time = left.checked_sub(answer)?.min(max);
    (time >= ANSWER_MIN).then_some(time)
}

fn late() -> Unready {
    Unready { why: Unsent::NotTried, reason: "no time was left to send".to_owned() }
}

/// A server that answers is there, even if it takes no log-in now: too many connections, a wrong password, a certificate that is not trusted. The
/// probe tells whether it is away.
fn unopened(trouble: &Trouble) -> Unsent {
    match trouble {
        Trouble::Server(_) | Trouble::NoSession(_) | Trouble::Unreadable { .. } => Unsent::ConnectionLost,
        Trouble::Lost(_) => Unsent::CoreAway,
    }
}

/// A failure before the deadline is what it looks like; after it, only the time was too short.
fn unready(why: Unsent, trouble: &Trouble, deadline: Instant) -> Unready {
    let why = if Instant::now() < deadline { why } else { Unsent::NotTried };
    Unready { why, reason: trouble.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::errors::ServerError;

    #[test]
    fn only_a_server_that_does_not_answer_is_away() {
        let refused = ServerError { state: "08004".into(), number: Some(1040) };
        assert_eq!(unopened(&Trouble::Server(refused)), Unsent::ConnectionLost);
        assert_eq!(unopened(&Trouble::NoSession("its certificate is not trusted".into())), Unsent::ConnectionLost);
        assert_eq!(unopened(&Trouble::Lost("connection refused".into())), Unsent::CoreAway);
    }

    #[test]
    fn the_server_ends_a_statement_before_we_give_up() {
        let of = |left| statement_time(Duration::from_millis(left), Duration::from_millis(5_000));
        assert_eq!(of(1_500), Some(Duration::from_millis(1_350)));
        assert_eq!(of(200), Some(Duration::from_millis(150)));
        assert_eq!(of(99), None);
        assert_eq!(of(0), None);
        assert_eq!(of(60_000), Some(Duration::from_millis(5_000)));
    }
}
