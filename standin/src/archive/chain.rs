//! Several files together: each names the one before it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::file::{FileFault, Sealed, inspect};

/// Why files do not make a chain.
#[derive(Debug, thiserror::Error)]
pub enum ChainFault {
    /// One of them is wrong by itself.
    #[error(transparent)]
    File(#[from] FileFault),
    /// A file that was changed or exchanged since its successor was written.
    #[error("{file} names {before} with another SHA-256 than it has")]
    Changed {
        /// The successor.
        file: String,
        /// The file before.
        before: String,
    },
    /// Two files that name the same one before them.
    #[error("{0} and {1} name the same file before them")]
    Forked(String, String),
    /// Two different files of one name.
    #[error("two files have the name {0}, and they differ")]
    Twice(String),
    /// Some file in between was not given.
    #[error("the files are not one chain: those before {0} are missing")]
    Gap(String),
}

/// Verifies each file by itself, and that all of them are one piece of the chain. Answers them in its order.
pub fn verify(paths: &[PathBuf]) -> Result<Vec<Sealed>, ChainFault> {
    let mut given = BTreeMap::new();
    for path in paths {
        let sealed = inspect(path)?;
        let other = given.insert(sealed.link.file.clone(), sealed.clone());
        if other.is_some_and(|other| other != sealed) {
            return Err(ChainFault::Twice(sealed.link.file));
        }
    }
    ordered(given)
}

fn ordered(mut given: BTreeMap<String, Sealed>) -> Result<Vec<Sealed>, ChainFault> {
    let (mut after, mut begins) = (BTreeMap::new(), BTreeSet::new());
    for (name, sealed) in &given {
        let Some(before) = &sealed.before else {
            begins.insert(name.clone());
            continue;
        };
        match given.get(&before.file) {
            None => drop(begins.insert(name.clone())),
            Some(found) if found.link != *before => {
                return Err(ChainFault::Changed { file: name.clone(), before: before.file.clone() });
            }
            Some(_) => {}
        }
        if let Some(other) = after.insert(before.file.clone(), name.clone()) {
            return Err(ChainFault::Forked(other, name.clone()));
        }
    }
    if let Some(second) = begins.iter().nth(1) {
        return Err(ChainFault::Gap(second.clone()));
    }
    let (mut chain, mut next) = (Vec::new(), begins.into_iter().next());
    while let Some(sealed) = next.and_then(|name| given.remove(&name)) {
        next = after.remove(&sealed.link.file);
        chain.push(sealed);
    }
    match given.into_keys().next() {
        // A ring cannot be written: each file holds the hash of the one before.
        Some(left) => Err(ChainFault::Gap(left)),
        None => Ok(chain),
    }
}

#[cfg(test)]
mod tests {
    use super::super::file::Link;
    use super::*;

    fn link(file: &str) -> Link {
        Link { file: file.into(), sha256: format!("sum of {file}") }
    }

    fn chain(files: &[(&str, Option<Link>)]) -> Result<Vec<String>, ChainFault> {
        let sealed = |(file, before): &(&str, Option<Link>)| {
            let sealed = Sealed { link: link(file), before: before.clone(), entries: 0, first: None, last: None };
            ((*file).to_owned(), sealed)
        };
        let files = ordered(files.iter().map(sealed).collect())?;
        Ok(files.into_iter().map(|sealed| sealed.link.file).collect())
    }

    #[test]
    fn files_are_put_in_the_order_of_their_chain_whatever_their_names() {
        let files = [("b", None), ("c", Some(link("a"))), ("a", Some(link("b")))];
        assert_eq!(chain(&files).unwrap(), ["b", "a", "c"]);
        assert_eq!(chain(&files[1..]).unwrap(), ["a", "c"], "a piece of it");
        assert_eq!(chain(&[]).unwrap(), [""; 0]);
    }

    #[test]
    fn a_gap_a_fork_and_a_changed_file_are_told() {
        let found = chain(&[("a", None), ("c", Some(link("b")))]);
        assert!(matches!(found, Err(ChainFault::Gap(_))), "{found:?}");
        let found = chain(&[("a", None), ("b", Some(link("a"))), ("c", Some(link("a")))]);
        assert!(matches!(found, Err(ChainFault::Forked(..))), "{found:?}");
        let other = Link { sha256: "another".into(), ..link("a") };
        let found = chain(&[("a", None), ("b", Some(other))]);
        assert!(matches!(found, Err(ChainFault::Changed { .. })), "{found:?}");
    }
}
