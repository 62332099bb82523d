//! What each family's names look like. A new family is one file here, and rows in the endpoint table.

pub mod inet;
pub mod unix;
