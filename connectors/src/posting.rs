//! What an acceptance tells of the posting: its number, the legs, the numbers of the legs.

use schemas::core::{CoreLeg, Posting};
use schemas::money::{Currency, parse_minor};

use super::json::Json;
use crate::http::{AmountConfig, Direction, LegConfig, PostingConfig, Unit};
use crate::uuid::is_of;

/// What was read.
pub(super) struct Told {
    pub(super) posting: Posting,
    pub(super) legs: Vec<CoreLeg>,
}

/// Reads all that is declared; the error names the pointer, never the content.
pub(super) fn told(answer: &Json, config: &PostingConfig, core_ref: &str) -> Result<Told, String> {
    if let Some(pointer) = &config.reference
        && !is_of(core_ref, text(answer, pointer)?)
    {
        return Err(format!("{pointer} is not our reference"));
    }
    let core_id = config.id.as_ref().map(|pointer| text(answer, pointer)).transpose()?.map(str::to_owned);
    let mut told = Told { posting: Posting { core_id, numbers: Vec::new() }, legs: Vec::new() };
    for leg in &config.legs {
        match &leg.each {
            None => told.add(answer, answer, leg)?,
            Some(pointer) => match answer.at(pointer) {
                Some(Json::List(items)) => items.iter().try_for_each(|item| told.add(answer, item, leg))?,
                _ => return Err(format!("{pointer} is not a list of legs")),
            },
        }
    }
    Ok(told)
}

impl Told {
    fn add(&mut self, answer: &Json, leg: &Json, config: &LegConfig) -> Result<(), String> {
        let account = text(leg, &config.account)?.to_owned();
        if let Some(pointer) = &config.number {
            let number = text(leg, pointer)?.parse().map_err(|_| format!("{pointer} is not a posting number"))?;
            self.posting.numbers.push((account.clone(), number));
        }
        if let Some(amount) = &config.amount {
            let amount_minor = signed(leg, amount, magnitude(answer, leg, amount)?)?;
            self.legs.push(CoreLeg { account, amount_minor });
        }
        Ok(())
    }
}

fn magnitude(answer: &Json, leg: &Json, config: &AmountConfig) -> Result<i64, String> {
    let digits = text(leg, &config.at)?;
    let code = match &config.unit {
        Unit::Minor => {
            return digits.parse().map_err(|_| format!("{} is not an amount in minor units", config.at));
        }
        Unit::Currency(code) => code,
        Unit::AnswerCurrency(pointer) => text(answer, pointer)?,
        Unit::LegCurrency(pointer) => text(leg, pointer)?,
    };
    let currency = Currency::parse(code).map_err(|_| "the currency of a leg is not known".to_owned())?;
    parse_minor(digits, currency).map_err(|err| format!("{}: {err}", config.at))
}

fn signed(leg: &Json, config: &AmountConfig, amount: i64) -> Result<i64, String> {
    let is_debit = match &config.direction {
        Direction::Signed => return Ok(amount),
        Direction::Debit => true,
        Direction::Credit => false,
        Direction::Coded { pointer, debit, credit } => match text(leg, pointer)? {
            code if code == debit => true,
            code if code == credit => false,
            _ => return Err(format!("{pointer} is not a declared direction")),
        },
    };
    match amount {
        0.. if is_debit => Ok(-amount),
        0.. => Ok(amount),
        _ => Err(format!("{} has a sign and a direction", config.at)),
    }
}

fn text<'a>(json: &'a Json, pointer: &str) -> Result<&'a str, String> {
    json.at(pointer).and_then(Json::digits_or_text).ok_or_else(|| format!("{pointer} is missing"))
}
