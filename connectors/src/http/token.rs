//! A token that is fetched by a declared request, kept while it lives, and renewed.

use std::time::Duration;

use http::header::{HeaderName, HeaderValue};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

use super::call::Call;
use super::check_credentials::TokenPlan;
use super::config::{RenewRule, TransportLimits};
use super::credentials::{SecretHeader, sensitive};
use super::document::AnswerDocument;
use super::findings::{FilePlan, Findings};
use super::json::Json;
use super::secret::{Secret, SecretFile};
use super::template::{Template, Values};
use super::transport::{Answer, Exchange, Read, TlsClient, Transport};

/// No token is waited for longer than this.
const FETCH_MAX: Duration = Duration::from_secs(5);
/// After a failure, and after two tokens in a row were refused, nothing is fetched for so long: a fault must not become a storm of requests.
const PAUSE: Duration = Duration::from_secs(1);
/// A token is renewed when a tenth of its life is left, but not earlier than this before its end.
const EARLY_MAX: Duration = Duration::from_secs(30);
/// A longer life is taken for this one: 30 days.
const LIFE_S_MAX: u64 = 30 * 86_400;

/// Where tokens come from, and the one that is kept.
pub(super) struct TokenSource {
    /// To where they are given, if not by the core.
    elsewhere: Option<Transport>,
    limits: TransportLimits,
    call: Call,
    secret: Option<SecretFile>,
    basic: Option<SecretHeader>,
    at: String,
    expires: Option<String>,
    name: HeaderName,
    value: Template,
    renew_on: Vec<RenewRule>,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    token: Option<Token>,
    failed: Option<(Instant, String)>,
    given_up: Option<Instant>,
    fetched: u64,
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

impl TokenSource {
    /// Opens the files of its request; fetches nothing yet.
    pub(super) fn open(plan: TokenPlan, limits: &TransportLimits, found: &mut Findings) -> Option<Self> {
        let TokenPlan { elsewhere, call, secret, basic, at, expires, name, value, renew_on } = plan;
        let secret = match secret {
            None => None,
            Some(FilePlan { at, path }) => Some(found.take(&at, SecretFile::open(&path))?.0),
        };
        let basic = match basic {
            None => None,
            Some(plan) => Some(SecretHeader::open(plan, found)?),
        };
        let elsewhere = match elsewhere {
            None => None,
            Some((base, tls)) => {
                let tls = tls.map(TlsClient::open).transpose();
                Some(Transport::new(base, limits.clone(), found.take("credentials.token.tls", tls)?))
            }
        };
        let limits = limits.clone();
        let kept = Mutex::default();
        Some(Self { elsewhere, limits, call, secret, basic, at, expires, name, value, renew_on, kept })
    }

    /// Answers of the core after which a token is not used any more.
    pub(super) fn renew_on(&self) -> &[RenewRule] {
        &self.renew_on
    }

    /// The header with a token that is good now, and the token's number. One request at a time fetches; the others wait for what it gets.
    pub(super) async fn header(
        &self,
        core: &Transport,
        deadline: Instant,
    ) -> Result<(HeaderName, HeaderValue, u64), String> {
        let Ok(mut kept) = timeout_at(deadline, self.kept.lock()).await else {
            return Err("no token for the core came in time".to_owned());
        };
        let asked = Instant::now();
        if kept.wants_another(asked) {
            match self.fetch(core, deadline).await {
                Ok((header, lives)) => kept.take(header, lives, asked),
                Err(reason) => {
                    tracing::warn!(reason, "no token for the core");
                    kept.failed = Some((Instant::now(), reason));
                }
            }
        }
        let (header, number) = kept.good(Instant::now())?;
        Ok((self.name.clone(), header, number))
    }

    /// The core does not take the token of this number any more.
    pub(super) async fn give_up(&self, number: u64, deadline: Instant) {
        if let Ok(mut kept) = timeout_at(deadline, self.kept.lock()).await {
            kept.give_up(number, Instant::now());
        }
    }

    async fn fetch(&self, core: &Transport, deadline: Instant) -> Result<(HeaderValue, Option<Duration>), String> {
        let secret = match &self.secret {
            Some(file) => Some(file.current().await),
            None => None,
        };
        let transport = self.elsewhere.as_ref().unwrap_or(core);
        let values = Values::Only(secret.as_deref().map_or("", Secret::reveal));
        let rendered = self.call.render(transport.base(), values);
        let mut request = rendered.map_err(|err| format!("the request for a token cannot be made: {err}"))?;
        request.headers_mut().values_mut().for_each(|value| value.set_sensitive(true));
        if let Some(basic) = &self.basic {
            basic.put(request.headers_mut()).await?;
        }
        let read = |answer: &Answer| match self.granted(&AnswerDocument::read(answer, &self.limits)) {
            Ok(granted) => Read::Understood(Ok(granted)),
            Err(reason) => Read::NotUnderstood(Err(format!("no token: {reason}"))),
        };
        match transport.exchange_beside(request, deadline.min(Instant::now() + FETCH_MAX), read).await {
            Exchange::Answered(granted) => granted,
            Exchange::NotSent(_, reason) | Exchange::Unknown(reason) => Err(format!("no token: {reason}")),
        }
    }

    /// The token of an answer and how long it lives. The error never shows what the answer held.
    fn granted(&self, answer: &AnswerDocument) -> Result<(HeaderValue, Option<Duration>), String> {
        let json = answer.json()?;
        let status = answer.status();
        if !(200..=299).contains(&status) {
            return Err(format!("status {status}"));
        }
        let text = |pointer: &str| {
            let found = json.at(pointer).and_then(Json::digits_or_text).filter(|text| !text.is_empty());
            found.ok_or_else(|| format!("status {status}: {pointer} is missing"))
        };
        let token = sensitive(self.value.plain(Values::Only(text(&self.at)?)).ok());
        let token = token.ok_or_else(|| format!("status {status}: {} cannot stand in a header", self.at))?;
        let Some(pointer) = &self.expires else { return Ok((token, None)) };
        match text(pointer)?.parse::<u64>() {
            Ok(0) => Err(format!("status {status}: by {pointer} the token lives for no time")),
            Ok(seconds) => Ok((token, Some(Duration::from_secs(seconds.min(LIFE_S_MAX))))),
            Err(_) => Err(format!("status {status}: {pointer} is no whole number")),
        }
    }
}

impl Kept {
    /// Is another token to be fetched, because there is none or it ends, and may it be?
    fn wants_another(&self, now: Instant) -> bool {
        let paused = self.failed.as_ref().is_some_and(|(at, _)| now.saturating_duration_since(*at) < PAUSE);
        self.token.as_ref().is_none_or(|token| token.life(now) != Life::Fresh) && !paused
    }

    fn take(&mut self, header: HeaderValue, lives: Option<Duration>, now: Instant) {
        self.fetched += 1;
        self.token = Some(Token { header, number: self.fetched, since: now, lives });
        self.failed = None;
    }

    /// The token, unless its life is over; otherwise why there is none.
    fn good(&self, now: Instant) -> Result<(HeaderValue, u64), String> {
        let good = self.token.as_ref().filter(|token| token.life(now) != Life::Over);
        let why = || self.failed.as_ref().map_or("the life of the token is over", |(_, reason)| reason.as_str());
        good.map(|token| (token.header.clone(), token.number)).ok_or_else(|| why().to_owned())
    }

    /// Others may have given it up already, and have another one by now.
    fn give_up(&mut self, number: u64, now: Instant) {
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

    const MINUTE: Duration = Duration::from_secs(60);

    fn header(text: &str) -> HeaderValue {
        sensitive(Some(text.to_owned())).unwrap()
    }

    fn number(kept: &Kept, now: Instant) -> Option<u64> {
        kept.good(now).ok().map(|(_, number)| number)
    }

    #[test]
    fn a_token_is_used_while_it_lives_and_renewed_before_its_end() {
        let (mut kept, start) = (Kept::default(), Instant::now());
        assert!(kept.wants_another(start) && number(&kept, start).is_none());
        kept.take(header("a"), Some(10 * MINUTE), start);
        for (after, renews, usable) in [(0, false, true), (569, false, true), (570, true, true), (600, true, false)] {
            let now = start + Duration::from_secs(after);
            assert_eq!((kept.wants_another(now), number(&kept, now).is_some()), (renews, usable), "after {after} s");
        }
        kept.take(header("b"), Some(10 * MINUTE), start + 9 * MINUTE);
        assert_eq!(number(&kept, start + 18 * MINUTE), Some(2));
        kept.take(header("c"), None, start);
        assert!(!kept.wants_another(start + 100_000 * MINUTE), "it says nothing of an end");
    }

    #[test]
    fn after_a_failure_nothing_is_fetched_for_a_while_and_a_living_token_goes_on() {
        let (mut kept, start) = (Kept::default(), Instant::now());
        kept.failed = Some((start, "away".to_owned()));
        assert!(!kept.wants_another(start) && kept.wants_another(start + PAUSE));
        assert_eq!(kept.good(start), Err("away".to_owned()));
        kept.take(header("a"), Some(MINUTE), start);
        let ending = start + Duration::from_secs(55);
        kept.failed = Some((ending, "away".to_owned()));
        assert_eq!((kept.wants_another(ending), number(&kept, ending)), (false, Some(1)));
    }

    #[test]
    fn a_token_is_given_up_once_and_two_in_a_row_bring_a_pause() {
        let (mut kept, start) = (Kept::default(), Instant::now());
        kept.take(header("a"), None, start);
        let later = start + MINUTE;
        kept.give_up(1, later);
        assert!(kept.wants_another(later));
        kept.take(header("b"), None, later);
        kept.give_up(1, later);
        assert_eq!(number(&kept, later), Some(2), "another request of before is not about this one");
        kept.give_up(2, later);
        assert!(!kept.wants_another(later) && kept.wants_another(later + PAUSE));
    }

    #[test]
    fn no_debug_shows_a_token() {
        assert!(!format!("{:?}", header("CANARY")).contains("CANARY"));
    }
}
