//! Names of tables and columns, word by word.

use super::shape::{Column, Form, Table};

/// The words of a name, in lower case: `savingsAccount_ID` is savings, account, id.
pub(super) fn words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let (mut word, mut before) = (String::new(), ' ');
    for c in name.chars() {
        let begins = c.is_uppercase() && before.is_lowercase();
        if (!c.is_alphanumeric() || begins) && !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        if c.is_alphanumeric() {
            word.extend(c.to_lowercase());
        }
        before = c;
    }
    words.extend(Some(word).filter(|word| !word.is_empty()));
    words
}

/// True when a name has this word, or its plural.
pub(super) fn has(name: &[String], word: &str) -> bool {
    name.iter().any(|own| own == word || own.strip_suffix('s') == Some(word) || own.strip_suffix("es") == Some(word))
}

/// True when a name has any of these words.
pub(super) fn has_any(name: &[String], any: &[&str]) -> bool {
    any.iter().any(|word| has(name, word))
}

/// What is looked for among the columns of a table.
pub(super) struct Wanted<'w> {
    /// Words that a name must have together, the likeliest first.
    pub(super) names: &'w [&'w str],
    /// Words that it must not have.
    pub(super) without: &'w [&'w str],
    /// What it must be.
    pub(super) is: fn(Form) -> bool,
}

impl Wanted<'_> {
    /// The likeliest column: by the first words that fit, then by the shortest name.
    pub(super) fn find<'t>(&self, table: &'t Table) -> Option<&'t Column> {
        self.names.iter().find_map(|names| {
            let fits = |column: &&Column| {
                let own = words(&column.name);
                (self.is)(column.form) && names.split(' ').all(|word| has(&own, word)) && !has_any(&own, self.without)
            };
            table.columns.iter().filter(fits).min_by_key(|column| words(&column.name).len())
        })
    }

    /// Every column that any of the words fit, in the order of the table.
    pub(super) fn all<'t>(&self, table: &'t Table) -> Vec<&'t Column> {
        let fits = |column: &&Column| {
            let own = words(&column.name);
            let named = self.names.iter().any(|names| names.split(' ').all(|word| has(&own, word)));
            (self.is)(column.form) && named && !has_any(&own, self.without)
        };
        table.columns.iter().filter(fits).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_word_by_word() {
        assert_eq!(words("savingsAccount_ID"), ["savings", "account", "id"]);
        assert_eq!(words("m_client"), ["m", "client"]);
        assert!(has(&words("bank_accounts"), "account") && has(&words("balances"), "balance"));
        assert!(!has(&words("accounting"), "account"));
    }
}
