//! The postings in one row: the row is one, or it holds both legs of a movement.

use super::amount::Amount;
use super::choice::{Choice, Meanings};
use super::currency::CurrencyField;
use super::field::Fields;
use super::node::{Members, Node};
use super::table::PostingFields;
use crate::decimal::Inexact;
use crate::entry::LegKind;

/// The legs of a row, what each is called in a mapping, and what makes its key distinct.
const LEGS: [(LegKind, &str, &str); 2] = [(LegKind::Debit, "debit", "-D"), (LegKind::Credit, "credit", "-C")];

/// What the legs of a row have in common; none where it is not said, some of none where it is wrong.
struct Common {
    amount: Option<Option<Amount>>,
    currency: Option<Option<CurrencyField>>,
}

impl Fields<'_> {
    /// Reads a row that is one posting.
    pub(super) fn posting(&mut self, members: &mut Members<'_>) -> Option<PostingFields> {
        let account_id = self.id(members, "account_id");
        let posting_no = self.column(members, "posting_no", "integer");
        let amount = members.need("amount", self.problems);
        let amount = amount.and_then(|n| self.amount(n, &members.path("amount"), Inexact::Floor));
        let meanings = Meanings { parse: LegKind::parse, names: "debit, credit" };
        let leg = members.take("leg").and_then(|n| self.choice(n, &members.path("leg"), &meanings));
        let currency = self.currency(members, "currency");
        Some(PostingFields {
            suffix: "",
            account_id: account_id?,
            may_be_absent: false,
            posting_no,
            amount: amount?,
            leg,
            currency: currency?,
        })
    }

    /// Reads `legs: {debit: {…}, credit: {…}}`. What both have in common stands beside it.
    pub(super) fn legs(&mut self, node: &Node, members: &mut Members<'_>) -> Option<Vec<PostingFields>> {
        for name in ["account_id", "posting_no", "leg"] {
            if let Some(node) = members.take(name) {
                self.problems.add(node.line, &members.path(name), "each of `legs` says this for itself");
            }
        }
        let common = Common {
            amount: members.take("amount").map(|n| self.amount(n, &members.path("amount"), Inexact::Floor)),
            currency: members.take("currency").map(|n| self.currency_at(n, &members.path("currency"))),
        };
        let mut legs = Members::of(node, &members.path("legs"), self.problems)?;
        let read = LEGS.map(|(kind, name, suffix)| {
            let node = legs.need(name, self.problems)?;
            let mut members = Members::of(node, &legs.path(name), self.problems)?;
            let leg = self.leg(&mut members, &common, (kind, suffix));
            members.finish(self.problems);
            leg
        });
        legs.finish(self.problems);
        read.into_iter().collect()
    }

    fn leg(
        &mut self,
        members: &mut Members<'_>,
        common: &Common,
        (kind, suffix): (LegKind, &'static str),
    ) -> Option<PostingFields> {
        let account = self.leg_account(members);
        let posting_no = self.column(members, "posting_no", "integer");
        let amount = members.take("amount").map(|n| self.amount(n, &members.path("amount"), Inexact::Floor));
        let currency = members.take("currency").map(|n| self.currency_at(n, &members.path("currency")));
        let amount = amount.or_else(|| common.amount.clone());
        let currency = currency.or_else(|| common.currency.clone());
        for (name, missing) in [("amount", amount.is_none()), ("currency", currency.is_none())] {
            if missing {
                self.problems.add(
                    members.line(),
                    &members.path(name),
                    "missing: say it here, or beside `legs` for both",
                );
            }
        }
        let (account_id, may_be_absent) = account?;
        let leg = Some(Choice::Constant(kind));
        let (amount, currency) = (amount.flatten()?, currency.flatten()?);
        Some(PostingFields { suffix, account_id, may_be_absent, posting_no, amount, leg, currency })
    }
}
