//! The question before what can't be taken back.

use std::io::{BufRead as _, Write as _};

use crate::command::Fail;

/// Asks; only an exact `y` is a yes.
pub fn confirm(question: &str) -> Result<bool, Fail> {
    print!("{question} ");
    std::io::stdout().flush().map_err(Fail::new)?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).map_err(Fail::new)?;
    match answer.trim_end_matches(['\r', '\n']) {
        "y" => Ok(true),
        "Y" => Err(Fail::new("For confirmation, an exact \"y\" is needed.")),
        _ => Ok(false),
    }
}
