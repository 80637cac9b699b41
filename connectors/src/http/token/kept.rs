//! The token that is kept: when it is used, when another one is fetched, and when nothing is. Pure.

use std::time::Duration;

use http::header::HeaderValue;
use tokio::time::Instant;

/// After a failure, and after two tokens in a row were refused, nothing is fetched for so long: a fault must not become a storm of
/// requests.
const PAUSE: Duration = Duration::from_secs(1);
/// A token is renewed when a tenth of its life is left, but not earlier than this before its end.
const EARLY_MAX: Duration = Duration::from_secs(30);

/// What was fetched, and what became of it.
#[derive(Default)]
pub(super) struct Kept {
    token: Option<Token>,
    failed: Option<(Instant, String)>,
    given_up: Option<Instant>,
    fetched: u64,
    is_fetching: bool,
}

/// What a request can have now.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Now {
    /// This header, with the token of this number.
    Token(HeaderValue, u64),
    /// Nothing yet: one is being fetched.
    Coming,
    /// Nothing, for this reason.
    Nothing(String),
}

struct Token {
    header: HeaderValue,
    number: u64,
    since: Instant,
    lives: Option<Duration>,
}

/// How far a token's life has gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    Fresh,
    /// Still good; another one had better be fetched.
    Ending,
    Over,
}

impl Kept {
    /// Is another token to be fetched from now on, because there is none or it ends? Until [`Kept::ends`] nobody else fetches.
    pub(super) fn begins(&mut self, now: Instant) -> bool {
        let paused = self.failed.as_ref().is_some_and(|(at, _)| now.saturating_duration_since(*at) < PAUSE);
        let wanted = self.token.as_ref().is_none_or(|token| token.life(now) != Life::Fresh);
        let begins = wanted && !paused && !self.is_fetching;
        self.is_fetching |= begins;
        begins
    }

    /// What the fetch that began at `asked` came to: a token and how long it lives from then on.
    pub(super) fn ends(&mut self, came: Result<(HeaderValue, Option<Duration>), String>, asked: Instant, now: Instant) {
        self.is_fetching = false;
        match came {
            Ok((_, Some(lives))) if now.saturating_duration_since(asked) >= lives => {
                self.failed = Some((now, "a token's life was over before it came".to_owned()));
            }
            Ok((header, lives)) => {
                self.fetched += 1;
                self.token = Some(Token { header, number: self.fetched, since: asked, lives });
                self.failed = None;
            }
            Err(reason) => self.failed = Some((now, reason)),
        }
    }

    /// A token that ends is used while another one is fetched.
    pub(super) fn now(&self, now: Instant) -> Now {
        match (&self.token, &self.failed) {
            (Some(token), _) if token.life(now) != Life::Over => Now::Token(token.header.clone(), token.number),
            _ if self.is_fetching => Now::Coming,
            (_, Some((_, reason))) => Now::Nothing(reason.clone()),
            _ => Now::Nothing("there is no token".to_owned()),
        }
    }

    /// The core does not take the token of this number any more. Others may have said so already, and have another one by now.
    pub(super) fn give_up(&mut self, number: u64, now: Instant) {
        if self.token.take_if(|token| token.number == number).is_none() {
            return;
        }
        let before = self.given_up.replace(now);
        if before.is_some_and(|before| now.saturating_duration_since(before) < PAUSE) {
            self.failed = Some((now, "the core refuses one new token after the other".to_owned()));
        }
    }
}

impl Token {
    fn life(&self, now: Instant) -> Life {
        let Some(lives) = self.lives else { return Life::Fresh };
        let age = now.saturating_duration_since(self.since);
        if age >= lives {
            Life::Over
        } else if age + (lives / 10).min(EARLY_MAX) >= lives {
            Life::Ending
        } else {
            Life::Fresh
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::credentials::sensitive;

    const MINUTE: Duration = Duration::from_secs(60);

    fn header(text: &str) -> HeaderValue {
        sensitive(Some(text.to_owned())).unwrap()
    }

    fn fetched(kept: &mut Kept, text: &str, lives: Option<Duration>, at: Instant) {
        kept.ends(Ok((header(text), lives)), at, at);
    }

    fn number(kept: &Kept, now: Instant) -> Option<u64> {
        match kept.now(now) {
            Now::Token(_, number) => Some(number),
            Now::Coming | Now::Nothing(_) => None,
        }
    }

    #[test]
    fn a_token_is_used_while_it_lives_and_renewed_before_its_end() {
        let (mut kept, start) = (Kept::default(), Instant::now());
        assert!(kept.begins(start) && kept.now(start) == Now::Coming);
        assert!(!kept.begins(start), "one fetches for all");
        fetched(&mut kept, "a", Some(10 * MINUTE), start);
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(!kept.begins(at(569)) && number(&kept, at(569)) == Some(1));
        assert!(kept.begins(at(570)) && number(&kept, at(570)) == Some(1), "nobody waits while it lives");
        assert_eq!((number(&kept, at(599)), kept.now(at(600))), (Some(1), Now::Coming));
        fetched(&mut kept, "b", Some(10 * MINUTE), at(590));
        assert_eq!(number(&kept, at(600)), Some(2));
        fetched(&mut kept, "c", None, start);
        assert!(!kept.begins(start + 100_000 * MINUTE), "it says nothing of an end");
    }

    #[test]
    fn a_life_counts_from_before_the_token_was_asked_for() {
        let (mut kept, start) = (Kept::default(), Instant::now());
        kept.ends(Ok((header("a"), Some(Duration::from_secs(2)))), start, start + Duration::from_secs(2));
        assert!(matches!(kept.now(start + Duration::from_secs(2)), Now::Nothing(_)));
    }

    #[test]
    fn after_a_failure_nothing_is_fetched_for_a_while_and_a_living_token_goes_on() {
        let (mut kept, start) = (Kept::default(), Instant::now());
        assert!(kept.begins(start));
        kept.ends(Err("away".to_owned()), start, start);
        assert!(!kept.begins(start) && kept.now(start) == Now::Nothing("away".to_owned()));
        assert!(kept.begins(start + PAUSE));
        fetched(&mut kept, "a", Some(MINUTE), start);
        let ending = start + Duration::from_secs(55);
        assert!(kept.begins(ending));
        kept.ends(Err("away".to_owned()), ending, ending);
        assert_eq!((kept.begins(ending), number(&kept, ending)), (false, Some(1)));
    }

    #[test]
    fn a_token_is_given_up_once_and_two_in_a_row_bring_a_pause() {
        let (mut kept, start) = (Kept::default(), Instant::now());
        fetched(&mut kept, "a", None, start);
        let later = start + MINUTE;
        kept.give_up(1, later);
        assert!(kept.begins(later));
        fetched(&mut kept, "b", None, later);
        kept.give_up(1, later);
        assert_eq!(number(&kept, later), Some(2), "another request of before is not about this one");
        kept.give_up(2, later);
        assert!(!kept.begins(later) && kept.begins(later + PAUSE));
    }

    #[test]
    fn no_debug_shows_a_token() {
        assert!(!format!("{:?}", Now::Token(header("CANARY"), 1)).contains("CANARY"));
    }
}
