//! A mapping proposed for the tables of a core, to be finished by a person.
//!
//! `ddl` and `observed` say which tables there are, `words` and `roles` guess what they are for, `write` puts that into YAML. A guess is
//! told with its reason; what nobody can guess is [`crate::mapping::FILL_IN`].

mod amounts;
mod ddl;
mod names;
mod observed;
mod roles;
mod sections;
mod shape;
#[cfg(test)]
mod tests;
mod tokens;
mod write;

pub use ddl::read as tables_of_ddl;
pub use observed::Observed;
pub use shape::{Column, Form, Table, Tables};
pub use write::propose;
