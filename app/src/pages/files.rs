//! The files of an allocation: directories a page at a time, texts a window at a time, everything else as a download. Everything is a
//! link, so that it works without JavaScript too. What is shown is a stranger's: names and texts come through [`crate::plain`].

pub mod view;

use leptos::prelude::*;
use serde::{Deserialize, Serialize};
use tarpan_api::wire::AllocFileInfo;
use tarpan_api::{Client, Error, Query, calls};

use self::view::{FileView, Window};
use super::every;
use crate::context::client;
use crate::format::{Ago, bytes};
use crate::lang::agent::a;
use crate::lang::{fill, t};
use crate::parts::loaded::{Loaded, Read};
use crate::parts::pager::{NextPage, PER_PAGE};
use crate::parts::{icon, panel};
use crate::prefs::Region;
use crate::{paths, place, plain};

/// A directory is read again so often while it is on screen: nothing tells of files.
const AGAIN_MS: i32 = 10_000;

/// What stands at a path.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Found {
    /// Entries by name, and the token of the next page.
    Dir(Vec<AllocFileInfo>, String),
    /// With the window of it that was asked for, where it may be a text.
    File(AllocFileInfo, Option<Window>),
}

/// What an entry is, by its mode as Go writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    Dir,
    File,
    Link,
    /// A pipe, a socket, a device: nothing to read.
    Other,
}

pub fn sort(info: &AllocFileInfo) -> Sort {
    match info.file_mode.chars().next() {
        _ if info.is_dir => Sort::Dir,
        Some('L') => Sort::Link,
        Some('p' | 'S' | 'D' | 'c') => Sort::Other,
        _ => Sort::File,
    }
}

/// A path as it is asked for: from the top, without what is empty.
pub fn tidy(path: &str) -> String {
    let names: Vec<_> = path.split('/').filter(|name| !matches!(*name, "" | ".")).collect();
    format!("/{}", names.join("/"))
}

fn join(path: &str, name: &str) -> String {
    tidy(&format!("{path}/{name}"))
}

/// Names that stand in the bread crumbs, of the first ones and of the last ones: a tree may be deep.
const FIRST: usize = 2;
const LAST: usize = 4;

/// The way to `path`: a name and its path each, from the top on. A name without a path stands for those that are left out.
pub fn steps(path: &str) -> Vec<(String, Option<String>)> {
    let names: Vec<&str> = path.split('/').filter(|name| !name.is_empty()).collect();
    let upto = |n: usize| format!("/{}", names[..n].join("/"));
    let all = (1..=names.len()).map(|n| (plain::name(names[n - 1]), Some(upto(n))));
    let mut steps = vec![("/".to_owned(), Some("/".to_owned()))];
    if names.len() <= FIRST + LAST + 1 {
        steps.extend(all);
        return steps;
    }
    steps.extend(all.clone().take(FIRST));
    steps.push(("…".to_owned(), None));
    steps.extend(all.skip(names.len() - LAST));
    steps
}

/// What stands at `path`: of a directory the page `next`, of a file the window at `at`. A link is what it leads to: a directory where
/// that can be listed.
async fn find(client: &Client, id: &str, path: &str, next: &str, at: u64) -> Result<Found, Error> {
    if path == "/" {
        return list(client, id, path, next).await;
    }
    let info = client.call(&calls::stat_file(&Query::new(), id, path)).await?.value;
    match sort(&info) {
        Sort::Dir => list(client, id, path, next).await,
        Sort::Link => match list(client, id, path, next).await {
            Ok(dir) => Ok(dir),
            Err(_) => file(client, id, path, info, at).await,
        },
        _ => file(client, id, path, info, at).await,
    }
}

async fn file(client: &Client, id: &str, path: &str, info: AllocFileInfo, at: u64) -> Result<Found, Error> {
    let window = match view::may_be_text(&info) {
        true => Some(view::window(client, id, path, at).await),
        false => None,
    };
    Ok(Found::File(info, window))
}

async fn list(client: &Client, id: &str, path: &str, next: &str) -> Result<Found, Error> {
    let answer = client.call(&calls::list_files(&Query::new(), id, path).page(PER_PAGE, next)).await?;
    Ok(Found::Dir(answer.value, answer.next_token.unwrap_or_default()))
}

/// The panel of the directory or file that the address names.
#[component]
pub fn FilesPanel(alloc: Signal<String>) -> impl IntoView {
    let query = place::query();
    let path = Memo::new(move |_| tidy(&query.with(|q| q.get("path")).unwrap_or_default()));
    // What was shown of one path says nothing of another.
    move || view! { <At alloc=alloc path=path.get()/> }
}

#[component]
fn At(alloc: Signal<String>, path: String) -> impl IntoView {
    let words = a();
    let (query, again, asking) = (place::query(), every(AGAIN_MS), client());
    let next = move || query.with(|q| q.get("next")).unwrap_or_default();
    let at = Memo::new(move |_| query.with(|q| q.get("at")).and_then(|n| n.parse::<u64>().ok()).unwrap_or(0));
    let here = path.clone();
    let found: Read<Found> = Resource::new(
        move || (alloc.get(), next(), at.get(), again.get()),
        move |(id, next, at, _): (String, String, u64, u64)| {
            let (client, path) = (asking.clone(), here.clone());
            async move { find(&client, &id, &path, &next, at).await }
        },
    );
    let crumbs = {
        let path = path.clone();
        move || {
            let steps = steps(&path);
            let last = steps.len() - 1;
            let one = |(n, (name, path)): (usize, (String, Option<String>))| match path {
                Some(path) if n < last => {
                    view! { <a class="mono" href=paths::alloc_files(&alloc.get(), &path)>{name}</a>{icon("right")} }
                        .into_any()
                }
                None => view! { <span>{name}</span>{icon("right")} }.into_any(),
                Some(_) => view! { <span class="mono" aria-current="page">{name}</span> }.into_any(),
            };
            view! { <nav class="crumbs" aria-label=words.path>{steps.into_iter().enumerate().map(one).collect_view()}</nav> }
        }
    };
    let shown = move |found: Signal<Found>| {
        let path = path.clone();
        // Which of the two it is; what is in it moves below.
        let is_dir = Memo::new(move |_| found.with(|f| matches!(f, Found::Dir(..))));
        let body = move || {
            if is_dir.get() {
                return view! { <Listing alloc=alloc path=path.clone() found=found/> }.into_any();
            }
            let file = Memo::new(move |_| match found.get() {
                Found::File(info, window) => (info, window),
                Found::Dir(..) => Default::default(),
            });
            view! { <FileView alloc=alloc path=path.clone() at=at file=file/> }.into_any()
        };
        body.into_any()
    };
    panel(words.files, crumbs, (), view! { <Loaded read=found view=shown/> })
}

#[component]
fn Listing(alloc: Signal<String>, path: String, found: Signal<Found>) -> impl IntoView {
    let (texts, words) = (t(), a());
    let entries = Memo::new(move |_| match found.get() {
        Found::Dir(entries, _) => entries,
        Found::File(..) => Vec::new(),
    });
    let next = Signal::derive(move || match found.get() {
        Found::Dir(_, next) => next,
        Found::File(..) => String::new(),
    });
    let above = {
        let path = path.clone();
        move || {
            let parent = path.rsplit_once('/').map(|(parent, _)| tidy(parent)).filter(|_| path != "/")?;
            let href = paths::alloc_files(&alloc.get(), &parent);
            Some(view! { <tr><td class="m1" colspan="5"><a class="name row" href=href>{icon("up")}".."</a></td></tr> })
        }
    };
    let rows = move || entries.get().into_iter().map(|info| row(&alloc.get(), &path, &info)).collect_view();
    view! {
        <table class="table stacked" aria-label=words.files>
            <thead><tr><th scope="col">{texts.name}</th><th scope="col" class="num">{words.size}</th><th scope="col" class="x5">{words.mode}</th>
                <th scope="col" class="num">{texts.changed}</th><th scope="col"><span class="vh">{texts.actions}</span></th></tr></thead>
            <tbody>{above}{rows}</tbody>
        </table>
        {move || entries.with(Vec::is_empty).then(|| view! { <p class="body t2">{words.dir_empty}</p> })}
        <NextPage token=next/>
    }
}

fn row(alloc: &str, dir: &str, info: &AllocFileInfo) -> AnyView {
    let (texts, words) = (t(), a());
    let path = join(dir, &info.name);
    let kind = sort(info);
    let (mark, says) = match kind {
        Sort::Dir => ("files", words.directory),
        Sort::File => ("file", words.file),
        Sort::Link => ("link", words.symlink),
        Sort::Other => ("port", words.special_file),
    };
    let shown = plain::name(&info.name);
    // A name that is no UTF-8 can't be asked for.
    let named = !info.name.contains('\u{fffd}');
    let name = view! { <span class="row"><span title=says>{icon(mark)}</span><span class="mono cut">{shown.clone()}</span><span class="vh">{says}</span></span> };
    let name = match named && kind != Sort::Other {
        true => view! { <a class="name" href=paths::alloc_files(alloc, &path)>{name}</a> }.into_any(),
        false => view! { <span title=(!named).then_some(words.no_utf8)>{name}</span> }.into_any(),
    };
    let size = if kind == Sort::File { bytes(info.size.max(0) as u64) } else { "–".to_owned() };
    let fetch = (named && kind == Sort::File).then(|| download(alloc, &path, true));
    view! {
        <tr>
            <td class="m1">{name}</td>
            <td class="num t2 mr">{size}</td>
            <td class="mono t12 t2 x5">{info.file_mode.clone()}</td>
            <td class="num t2 m2"><Ago at=info.mod_time.0.0/></td>
            <td class="num"><span class="row row-1 end-r">{fetch.unwrap_or_else(|| view! { <span class="vh">{texts.none}</span> }.into_any())}</span></td>
        </tr>
    }
    .into_any()
}

/// A link by which the browser keeps the file; it never shows it.
pub fn download(alloc: &str, path: &str, small: bool) -> AnyView {
    let texts = t();
    let call = calls::download_file(&Query::new(), alloc, path);
    let href = use_context::<Region>().unwrap_or_default().on(call.path());
    let name = path.rsplit('/').next().unwrap_or_default();
    let label = fill(a().download_x, &[&plain::name(name)]);
    let class = if small { "btn icon ghost small" } else { "btn small" };
    view! {
        <a class=class href=href download="" rel="external" aria-label=label.clone() title=label>{icon("download")}{(!small).then_some(texts.download)}</a>
    }
    .into_any()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_tidy() {
        for (asked, is) in [("", "/"), ("//a//b/", "/a/b"), ("a/./b", "/a/b"), ("/a/../b", "/a/../b"), ("/a b", "/a b")]
        {
            assert_eq!(tidy(asked), is);
        }
        assert_eq!(join("/", "a"), "/a");
        assert_eq!(join("/a", "b c"), "/a/b c");
    }

    #[test]
    fn a_deep_tree_has_short_crumbs() {
        let names = |path: &str| steps(path).into_iter().map(|(name, _)| name).collect::<Vec<_>>().join(" ");
        assert_eq!(names("/"), "/");
        assert_eq!(names("/web/local\u{202e}"), "/ web local<202E>");
        let deep = format!("/{}", (0..1000).map(|n| format!("d{n}")).collect::<Vec<_>>().join("/"));
        assert_eq!(names(&deep), "/ d0 d1 … d996 d997 d998 d999");
        assert_eq!(steps(&deep)[2].1.as_deref(), Some("/d0/d1"));
        assert_eq!(steps(&deep).last().and_then(|s| s.1.clone()), Some(deep.clone()));
    }

    #[test]
    fn what_an_entry_is() {
        let of = |mode: &str| {
            sort(&AllocFileInfo { file_mode: mode.into(), is_dir: mode.starts_with('d'), ..Default::default() })
        };
        let all = ["drwxr-xr-x", "-rw-r--r--", "Lrwxrwxrwx", "prw-------", "Srwxrwxrwx", "Dcrw-------", "u-rwxr-xr-x"]
            .map(of);
        use Sort::{Dir, File, Link, Other};
        assert_eq!(all, [Dir, File, Link, Other, Other, Other, File]);
    }
}
