//! Lists a page at a time: what of a list stands on this page, and the links to the others. Links work before the browser's part is there.

use leptos::prelude::*;
use leptos_router::hooks::use_location;

use super::icon;
use crate::digits::thousands;
use crate::lang::{fill, t};
use crate::place;

/// Lines of a page.
pub const PER_PAGE: usize = 100;

/// The lines of page `number` (from 1), or of the last one.
pub fn page_of<T: Clone>(all: &[T], number: usize) -> Vec<T> {
    let last = all.len().div_ceil(PER_PAGE).max(1);
    all.iter().skip((number.clamp(1, last) - 1) * PER_PAGE).take(PER_PAGE).cloned().collect()
}

/// The page of a whole list that the address asks for.
pub fn shown<T: Clone + PartialEq + Send + Sync + 'static>(all: Signal<Vec<T>>) -> Signal<Vec<T>> {
    let number = place::page();
    Memo::new(move |_| all.with(|all| page_of(all, number.get()))).into()
}

/// Which lines these are of how many, with the way to those before and after; nothing where all stand on one page.
#[component]
pub fn Pager(#[prop(into)] count: Signal<usize>) -> AnyView {
    let texts = t();
    let (number, location) = (place::page(), use_location());
    let turn = move |mark: &'static str, label: &'static str, to: usize, there: bool| {
        let href = there.then(|| place::at_page(&location.pathname.get(), &location.search.get(), to));
        // A link without an address is one that leads nowhere.
        view! { <a class="btn small" href=href aria-label=label title=label aria-disabled=(!there).then_some("true")>{icon(mark)}</a> }
    };
    let content = move || {
        let count = count.get();
        let last = count.div_ceil(PER_PAGE).max(1);
        let number = number.get().clamp(1, last);
        let (from, to) = ((number - 1) * PER_PAGE + 1, (number * PER_PAGE).min(count));
        (last > 1).then(|| {
            let which =
                fill(texts.rows_of, &[&thousands(from as i64), &thousands(to as i64), &thousands(count as i64)]);
            view! {
                <nav class="pager" aria-label=texts.pages_of_list>
                    <span class="t3">{which}</span>
                    {turn("left", texts.page_before, number - 1, number > 1)}
                    {turn("right", texts.page_after, number + 1, number < last)}
                </nav>
            }
        })
    };
    view! { {content} }.into_any()
}

/// The way on through a list that is read a page at a time ([`crate::pages::read_page`]), and back to its begin.
#[component]
pub fn NextPage(
    /// Of the page after this one; empty: there is none.
    #[prop(into)]
    token: Signal<String>,
) -> AnyView {
    let texts = t();
    let (query, location) = (place::query(), use_location());
    let here = move || query.with(|q| q.get("next")).unwrap_or_default();
    let to = move |token: &str| place::with(&location.pathname.get(), &location.search.get(), "next", token);
    let content = move || {
        let (here, token) = (here(), token.get());
        (!here.is_empty() || !token.is_empty()).then(|| {
            let first = (!here.is_empty())
                .then(|| view! { <a class="btn small" href=to("")>{icon("left")}{texts.page_first}</a> });
            let next = (!token.is_empty())
                .then(|| view! { <a class="btn small" href=to(&token)>{texts.page_after}{icon("right")}</a> });
            view! { <nav class="pager" aria-label=texts.pages_of_list>{first}{next}</nav> }
        })
    };
    view! { {content} }.into_any()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_at_a_time() {
        let all: Vec<usize> = (0..250).collect();
        let ends = |number| {
            let page = page_of(&all, number);
            (page.first().copied(), page.last().copied())
        };
        assert_eq!(ends(1), (Some(0), Some(99)));
        assert_eq!((ends(3), ends(9)), ((Some(200), Some(249)), (Some(200), Some(249))));
        assert!(page_of::<usize>(&[], 4).is_empty());
    }
}
