//! What leaves the journal's tables, and the files it is kept in: the rule, the months, the form of the files. The journal acts by it.

mod chain;
mod file;
mod month;
mod rule;

pub use chain::{ChainFault, verify};
pub use file::{FileFault, Line, Link, Reader, Sealed, Writer, file_name, inspect};
pub(crate) use file::{fault_of, hex, make_durable};
pub use month::Month;
pub use rule::{Standing, Stays, last_due, stays};
