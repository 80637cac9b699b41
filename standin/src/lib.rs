//! The stand-in: the journal of writes, the lanes that order them, the rules that admit them.
//!
//! `entry`, `change`, `write`, `account` and `instance` are what is spoken of; `lane`, `rules`, `admission`, `reference`,
//! `resolution`, `settle` and `clock` decide and touch nothing; `archive` says what may leave, and knows its files; `journal` acts.

mod account;
pub mod admission;
pub mod archive;
pub mod calendar;
mod change;
pub mod clock;
mod entry;
mod instance;
pub mod instance_lock;
pub mod journal;
pub mod lane;
mod machine;
pub mod mode;
pub mod reference;
pub mod resolution;
pub mod rules;
pub mod settle;
mod write;
