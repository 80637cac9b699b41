//! What the peer says to which statement.

use std::collections::VecDeque;

/// One value of a result.
#[derive(Debug, Clone)]
pub enum Cell {
    Int(i64),
    Text(&'static str),
}

/// One answer.
#[derive(Debug, Clone)]
pub enum Say {
    /// Done, with so many matched rows.
    Ok(u64),
    /// Refused: code, SQL state, text.
    Error(u16, &'static str, &'static str),
    /// A result.
    Rows(Vec<&'static str>, Vec<Vec<Cell>>),
    /// No answer, and the connection stays open.
    Nothing,
    /// The connection is closed without an answer.
    Goodbye,
}

/// Which statement gets which answer; where nothing is scripted, that of a healthy server.
pub struct Script {
    pub version: String,
    scripted: Vec<(&'static str, VecDeque<Say>)>,
    always: Vec<(&'static str, Say)>,
}

impl Script {
    /// A healthy TiDB 8.4.
    pub fn tidb() -> Script {
        Script { version: "8.0.11-TiDB-v8.4.0".into(), scripted: Vec::new(), always: Vec::new() }
    }

    /// A healthy MariaDB.
    pub fn mariadb() -> Script {
        Script { version: "10.11.6-MariaDB".into(), ..Script::tidb() }
    }

    /// To the next statements that begin with `text`, these answers in turn; afterwards as before.
    pub fn then(mut self, text: &'static str, answers: impl IntoIterator<Item = Say>) -> Script {
        self.scripted.push((text, answers.into_iter().collect()));
        self
    }

    /// To every statement that contains `text`, this answer.
    pub fn always(mut self, text: &'static str, answer: Say) -> Script {
        self.always.push((text, answer));
        self
    }

    pub fn answer_to(&mut self, statement: &str) -> Say {
        let mut scripted = self.scripted.iter_mut().filter(|(text, _)| statement.starts_with(*text));
        if let Some(answer) = scripted.find_map(|(_, answers)| answers.pop_front()) {
            return answer;
        }
        let always = self.always.iter().find(|(text, _)| statement.contains(*text));
        always.map_or_else(|| self.ordinary(statement), |(_, answer)| answer.clone())
    }

    fn ordinary(&self, statement: &str) -> Say {
        match statement {
            s if s.contains("VERSION()") => {
                let version: &'static str = self.version.clone().leak();
                Say::Rows(vec!["v"], vec![vec![Cell::Text(version)]])
            }
            s if s.contains("@@max_allowed_packet") => {
                Say::Rows(vec!["p", "w"], vec![vec![Cell::Int(67_108_864), Cell::Int(28_800)]])
            }
            s if s.contains("GET_LOCK") => Say::Rows(vec!["l"], vec![vec![Cell::Int(1)]]),
            s if s.starts_with("SELECT") => Say::Rows(vec!["n"], vec![vec![Cell::Int(0)]]),
            s if s.starts_with("UPDATE") || s.starts_with("INSERT") => Say::Ok(1),
            _ => Say::Ok(0),
        }
    }
}
