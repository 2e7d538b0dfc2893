//! The company's batch work: set-up writes the budget, an employee spends or earns some of it.

use std::io;

use crate::client::{Client, Value};

/// Writes the budget of `PTC_BUDGET` and forgets what was earned before.
pub fn set_up() -> io::Result<()> {
    let budget = std::env::var("PTC_BUDGET").unwrap_or_default();
    let amount: i64 =
        budget.parse().map_err(|_| io::Error::other(format!("PTC_BUDGET is {budget:?}, expected a number")))?;
    let mut store = Client::from_env()?;
    store.call(&["SET", "budget", &amount.to_string()])?;
    store.call(&["DEL", "earned", "tasks"])?;
    store.call(&["RPUSH", "tasks", &format!("set up with a budget of {amount}")])?;
    println!("budget set to {amount}");
    Ok(())
}

/// What one kind of employee does: a sentence, what it costs, what it earns.
fn task_of(kind: &str) -> Option<(&'static str, i64, i64)> {
    match kind {
        "generalist" => Some(("tidied the office", 1, 0)),
        "sales_engineer" => Some(("won a customer", 2, 5)),
        "marketer" => Some(("wrote a poster", 3, 1)),
        _ => None,
    }
}

/// Does one task: `--employee-type TYPE` chooses which.
pub fn work(args: &[String]) -> io::Result<()> {
    let kind = match args {
        [] => "generalist",
        [flag, kind] if flag == "--employee-type" => kind,
        _ => return Err(io::Error::other(format!("employee takes --employee-type TYPE, not {args:?}"))),
    };
    let (deed, cost, gain) = task_of(kind).ok_or_else(|| {
        io::Error::other(format!("no employee type {kind:?}; use generalist, sales_engineer or marketer"))
    })?;
    let id = std::env::var("PTC_EMPLOYEE_ID").unwrap_or_else(|_| "nobody".to_owned());
    let mut store = Client::from_env()?;
    if store.call(&["GET", "budget"])? == Value::Nil {
        println!("{id} ({kind}) waits: no budget yet, run the set-up job");
        return Ok(());
    }
    let left = store.call(&["INCRBY", "budget", &(-cost).to_string()])?;
    store.call(&["INCRBY", "earned", &gain.to_string()])?;
    store.call(&["RPUSH", "tasks", &format!("{id} ({kind}) {deed}")])?;
    println!("{id} ({kind}) {deed}; cost {cost}, earned {gain}, budget left {}", left.text());
    Ok(())
}
