//! A filter expression as a tree.

use regex::Regex;

#[derive(Clone, Debug)]
pub enum Expr {
    And(Box<Expr>, Box<Expr>),
    Or(Box<Expr>, Box<Expr>),
    Not(Box<Expr>),
    Match { selector: Vec<String>, test: Test },
}

#[derive(Clone, Debug)]
pub enum Test {
    Equal(String),
    /// The value is in the list, among the keys of the map, or part of the text.
    Contains(String),
    Matches(Regex),
    Empty,
}
