//! The figures at the end, and which of them are wrong.

/// What a run came to.
#[derive(Debug, Clone, Default)]
pub struct Figures {
    /// Balances read, and reads without an answer.
    pub reads: u64,
    pub read_errors: u64,
    /// Transfers sent, and those whose channel saw an error.
    pub writes: usize,
    pub write_errors: usize,
    /// Accepted by the core within the request, and by the stand-in.
    pub accepted_by_core: usize,
    pub accepted_by_stand_in: usize,
    /// Declined by a rule or refused by the core within the request.
    pub declined: usize,
    /// Accepted by the stand-in and posted since, or refused by the core with a reason.
    pub replayed: usize,
    pub refused_later: usize,
    /// Accepted and neither posted nor refused; posted more than once; posted without an accepted write.
    pub lost: usize,
    pub twice: usize,
    pub unexplained: usize,
    /// Accounts, and those that Locum shows with the core's balance.
    pub accounts: usize,
    pub balances_equal: usize,
    /// Keys sent again, and those that got their first answer.
    pub keys_again: usize,
    pub same_answer: usize,
}

impl Figures {
    /// The closing table.
    pub fn table(&self) -> Vec<(&'static str, String)> {
        vec![
            ("reads", self.reads.to_string()),
            ("writes", self.writes.to_string()),
            ("channel errors", (self.read_errors + self.write_errors as u64).to_string()),
            ("accepted by the core", self.accepted_by_core.to_string()),
            ("accepted by Locum, standing in", self.accepted_by_stand_in.to_string()),
            ("declined by rules or the core", self.declined.to_string()),
            ("replayed", self.replayed.to_string()),
            ("refused by the core later", self.refused_later.to_string()),
            ("lost", self.lost.to_string()),
            ("posted twice", self.twice.to_string()),
            ("posted without an order", self.unexplained.to_string()),
            ("balances equal", format!("{} of {}", self.balances_equal, self.accounts)),
            ("same answer to the same key", format!("{} of {}", self.same_answer, self.keys_again)),
        ]
    }

    /// Everything that must not be so; none = the demo held what it promises.
    pub fn wrong(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut must = |holds: bool, text: &str| {
            if !holds {
                wrong.push(text.to_owned());
            }
        };
        must(self.reads > 0 && self.read_errors == 0, "a read was not answered");
        must(self.writes > 0 && self.write_errors == 0, "a write was answered with an error");
        must(self.accepted_by_core > 0, "the core accepted nothing");
        must(self.accepted_by_stand_in > 0, "the stand-in accepted nothing");
        must(self.declined > 0, "the rules declined nothing, although too much was asked for");
        must(
            self.replayed > 0 && self.replayed + self.refused_later == self.accepted_by_stand_in,
            "not everything that was accepted by the stand-in has an end",
        );
        must(self.lost == 0, "an accepted write is lost");
        must(self.twice == 0, "a write was posted twice");
        must(self.unexplained == 0, "a posting has no order behind it");
        must(self.accounts > 0 && self.balances_equal == self.accounts, "a balance differs from the core's");
        must(self.keys_again > 0 && self.same_answer == self.keys_again, "a key got another answer the second time");
        wrong
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Figures {
        Figures {
            reads: 1,
            writes: 4,
            accepted_by_core: 1,
            accepted_by_stand_in: 2,
            declined: 1,
            replayed: 1,
            refused_later: 1,
            accounts: 1,
            balances_equal: 1,
            keys_again: 1,
            same_answer: 1,
            ..Figures::default()
        }
    }

    #[test]
    fn each_wrong_figure_is_named() {
        assert_eq!(good().wrong(), Vec::<String>::new());
        let spoil: [fn(&mut Figures); 12] = [
            |f| f.read_errors = 1,
            |f| f.write_errors = 1,
            |f| f.accepted_by_core = 0,
            |f| f.accepted_by_stand_in += 1,
            |f| f.declined = 0,
            |f| f.replayed = 0,
            |f| f.lost = 1,
            |f| f.twice = 1,
            |f| f.unexplained = 1,
            |f| f.balances_equal = 0,
            |f| f.same_answer = 0,
            |f| f.reads = 0,
        ];
        for (number, spoil) in spoil.iter().enumerate() {
            let mut figures = good();
            spoil(&mut figures);
            assert_eq!(figures.wrong().len(), 1, "spoilt {number}: {figures:?}");
        }
    }
}
