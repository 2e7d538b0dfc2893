//! Client by client, the first check that keeps it from taking one more allocation: checks run from left to right.

use leptos::prelude::*;
use tarpan_api::wire::ClientVerdict;

use super::clients::percent;
use crate::digits::thousands;
use crate::lang::{Texts, fill, t};
use crate::parts::meter;
use crate::paths;

/// The checks as the API names them, in the order in which they are looked at.
const CHECKS: [&str; 5] = ["ready", "pool", "datacenter", "constraints", "resources"];

/// What one check said of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Cell {
    Passed,
    Failed(String),
    NotLookedAt,
}

/// A client's line: a cell a check.
fn cells(t: &Texts, client: &ClientVerdict) -> Vec<Cell> {
    let failed = CHECKS.iter().position(|check| *check == client.fails).unwrap_or(CHECKS.len());
    let cell = |i: usize| match i.cmp(&failed) {
        std::cmp::Ordering::Less => Cell::Passed,
        std::cmp::Ordering::Equal => Cell::Failed(reason(t, client)),
        std::cmp::Ordering::Greater => Cell::NotLookedAt,
    };
    (0..CHECKS.len()).map(cell).collect()
}

fn reason(t: &Texts, client: &ClientVerdict) -> String {
    match (client.fails.as_str(), client.reason.as_str()) {
        ("ready", "draining") => t.draining.to_lowercase(),
        ("ready", "ineligible") => t.ineligible.to_lowercase(),
        ("ready", "down") => t.down.to_lowercase(),
        (_, what) if client.asked > 0 => {
            let amounts = fill(t.x_of_y, &[&thousands(client.free), &thousands(client.asked)]);
            format!("{what}: {amounts} {}", unit(what)).trim_end().to_owned()
        }
        (_, other) => other.to_owned(),
    }
}

/// The table of a group's clients, the nearest first.
pub fn table(clients: &[ClientVerdict]) -> AnyView {
    let texts = t();
    let shown = |cell: Cell| {
        match cell {
        Cell::Passed => view! { <svg class="shape c-running" role="img" aria-label=texts.passed><use href="#s-complete"></use></svg> }.into_any(),
        Cell::NotLookedAt => view! { <span class="t3"><span aria-hidden="true">"·"</span><span class="vh">{texts.not_looked_at}</span></span> }.into_any(),
        Cell::Failed(why) => view! { <span class="st c-failed"><svg aria-hidden="true"><use href="#s-failed"></use></svg><span class="t12">{why}</span></span> }.into_any(),
    }
    };
    let near = |client: &ClientVerdict| {
        let short = (client.asked - client.free).max(0);
        if client.fails.is_empty() {
            view! { <span class="t12 t2">{texts.could_take_one}</span> }.into_any()
        } else if client.asked > 0 {
            let text = fill(texts.x_short, &[&format!("{} {}", thousands(short), unit(&client.reason))]);
            view! { <span class="row">{meter(percent(client.free, client.asked).min(81.0), texts.how_near.to_owned(), false)}<span class="t12 t2">{text}</span></span> }.into_any()
        } else {
            view! { <span class="t3">"–"</span> }.into_any()
        }
    };
    let line = |client: &ClientVerdict| {
        view! {
            <tr>
                <th scope="row"><a href=paths::client(&client.node_id)>{client.node_name.clone()}</a>" "<span class="t3">{client.datacenter.clone()}</span></th>
                {cells(texts, client).into_iter().map(|cell| view! { <td>{shown(cell)}</td> }).collect_view()}
                <td>{near(client)}</td>
            </tr>
        }
    };
    let heads = [
        texts.ready,
        texts.node_pool,
        texts.datacenter,
        texts.constraints_and_drivers,
        texts.resources,
        texts.how_near,
    ];
    view! {
        <h3 class="body t12 t2">{texts.client_by_client}</h3>
        <div class="table-wrap" tabindex="0" role="region" aria-label=texts.client_by_client><table class="table checks" aria-label=texts.client_by_client>
            <thead><tr><th scope="col">{texts.client}</th>{heads.map(|head| view! { <th scope="col">{head}</th> }).collect_view()}</tr></thead>
            <tbody>{clients.iter().map(line).collect_view()}</tbody>
        </table></div>
    }
    .into_any()
}

/// `MHz` of cpu, `MiB` of memory and disk.
pub fn unit(what: &str) -> &'static str {
    match what {
        "cpu" => "MHz",
        "memory" | "disk" => "MiB",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lang::texts_of;
    use crate::prefs::Lang;

    #[test]
    fn the_first_check_that_fails_ends_the_line() {
        let t = texts_of(Lang::En);
        let client = |fails: &str, reason: &str, asked: i64, free: i64| {
            let (fails, reason) = (fails.to_owned(), reason.to_owned());
            cells(t, &ClientVerdict { fails, reason, asked, free, ..Default::default() })
        };
        let failed = |why: &str| Cell::Failed(why.to_owned());
        let (yes, no) = (Cell::Passed, Cell::NotLookedAt);
        assert_eq!(
            client("ready", "draining", 0, 0),
            [failed("draining"), no.clone(), no.clone(), no.clone(), no.clone()]
        );
        assert_eq!(client("datacenter", "ams1", 0, 0)[2..], [failed("ams1"), no.clone(), no]);
        assert_eq!(client("resources", "memory", 4096, 3380)[4], failed("memory: 3,380 of 4,096 MiB"));
        assert_eq!(client("", "", 0, 0), [yes.clone(), yes.clone(), yes.clone(), yes.clone(), yes]);
    }
}
