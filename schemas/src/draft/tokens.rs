//! SQL as tokens: tolerant, because a schema file holds more than the tables that we read.

/// One token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// A word or a number, as it is written.
    Word(String),
    /// A name in quotes.
    Name(String),
    /// A text.
    Text(String),
    /// Anything else.
    Sign(char),
}

impl Token {
    /// The word in lower case; a name in quotes is none.
    pub(super) fn word(&self) -> Option<String> {
        match self {
            Self::Word(word) => Some(word.to_ascii_lowercase()),
            _ => None,
        }
    }

    /// True for this word, in any case.
    pub(super) fn is(&self, word: &str) -> bool {
        matches!(self, Self::Word(own) if own.eq_ignore_ascii_case(word))
    }

    /// A name, with or without quotes.
    pub(super) fn name(&self) -> Option<&str> {
        match self {
            Self::Word(name) | Self::Name(name) => Some(name),
            _ => None,
        }
    }
}

/// Splits SQL; comments and what PostgreSQL has between `$$` are left out.
pub(super) fn tokens(sql: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = sql;
    while let Some(c) = rest.chars().next() {
        let (token, length) = match c {
            '-' if rest.starts_with("--") => (None, line(rest)),
            '#' => (None, line(rest)),
            '/' if rest.starts_with("/*") => (None, rest[2..].find("*/").map_or(rest.len(), |end| end + 4)),
            '\'' => {
                let (text, length) = quoted(rest, c);
                (Some(Token::Text(text)), length)
            }
            '"' | '`' => {
                let (name, length) = quoted(rest, c);
                (Some(Token::Name(name)), length)
            }
            '$' => (None, dollar(rest)),
            c if is_of_word(c) => {
                let length = rest.find(|c: char| !is_of_word(c)).unwrap_or(rest.len());
                (Some(Token::Word(rest[..length].to_owned())), length)
            }
            c if c.is_whitespace() => (None, c.len_utf8()),
            c => (Some(Token::Sign(c)), c.len_utf8()),
        };
        tokens.extend(token);
        rest = &rest[length..];
    }
    tokens
}

fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn line(text: &str) -> usize {
    text.find('\n').unwrap_or(text.len())
}

/// What stands in quotes, and its length with them. A quote is written twice, or in a text behind a backslash.
fn quoted(text: &str, quote: char) -> (String, usize) {
    let mut inner = String::new();
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if c == '\\' && quote == '\'' {
            inner.extend(chars.next().map(|(_, escaped)| escaped));
        } else if c != quote {
            inner.push(c);
        } else if chars.peek().is_some_and(|(_, next)| *next == quote) {
            chars.next();
            inner.push(c);
        } else {
            return (inner, at + c.len_utf8());
        }
    }
    (inner, text.len())
}

/// The length of `$tag$ … $tag$`; of a lone `$` where it opens nothing.
fn dollar(text: &str) -> usize {
    let Some(end) = text[1..].find('$') else { return 1 };
    let tag = &text[..end + 2];
    if !tag[1..tag.len() - 1].chars().all(is_of_word) {
        return 1;
    }
    text[tag.len()..].find(tag).map_or(text.len(), |close| tag.len() + close + tag.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_texts_and_names_are_told_apart() {
        let read = tokens("-- a\nCREATE /* b */ `my ``t` (c\\x, 'it''s' \"D\") $f$ 'no $f$; # end");
        let word = |text: &str| Token::Word(text.to_owned());
        let expected = [
            word("CREATE"),
            Token::Name("my `t".to_owned()),
            Token::Sign('('),
            word("c"),
            Token::Sign('\\'),
            word("x"),
            Token::Sign(','),
            Token::Text("it's".to_owned()),
            Token::Name("D".to_owned()),
            Token::Sign(')'),
            Token::Sign(';'),
        ];
        assert_eq!(read, expected);
    }

    #[test]
    fn what_is_never_closed_ends_with_the_text() {
        for sql in ["'a", "`a", "/* a", "-- a", "$$ a", "$", "$1", "a'", "é'é"] {
            tokens(sql);
        }
    }
}
