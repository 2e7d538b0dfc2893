//! Services: each with its instances and their addresses.

use leptos::prelude::*;
use tarpan_api::calls;

use super::{everywhere, in_namespace, read, read_of};
use crate::format::short;
use crate::lang::{fill, t};
use crate::live::Topic;
use crate::parts::loaded::{Loaded, Read};
use crate::parts::pager::{self, PER_PAGE, Pager};
use crate::parts::title::Title;
use crate::parts::{blank, panel};
use crate::paths;
use crate::shapes::{ServiceInstance, ServiceNamespace};

#[component]
pub fn Services() -> impl IntoView {
    let texts = t();
    let names: Read<Vec<ServiceNamespace>> = read(|| calls::services(&everywhere()).part(), &[Topic::Service]);
    view! {
        <Title text=texts.services/>
        <main id="main" class="page">
            <div class="page-head"><div class="title"><h1>{texts.services}</h1></div></div>
            <div class="pad stack stack-4"><Loaded read=names view=list/></div>
        </main>
    }
}

fn list(found: Signal<Vec<ServiceNamespace>>) -> AnyView {
    let texts = t();
    let keys = Memo::new(move |_| {
        found.with(|all| {
            all.iter()
                .flat_map(|n| n.services.iter().map(|s| (n.namespace.clone(), s.name.clone(), s.tags.clone())))
                .collect::<Vec<_>>()
        })
    });
    let empty =
        move || keys.with(Vec::is_empty).then(|| blank("services", texts.no_services, texts.no_services_text, ()));
    let (shown, count) = (pager::shown(keys.into()), Signal::derive(move || keys.with(Vec::len)));
    view! {
        {empty}
        <For each=move || shown.get() key=Clone::clone children=|(namespace, name, tags)| view! { <Service namespace=namespace name=name tags=tags/> }/>
        <Pager count=count/>
    }
    .into_any()
}

#[component]
fn Service(namespace: String, name: String, tags: Vec<String>) -> impl IntoView {
    let call = calls::service(&in_namespace(&namespace), &name).part();
    let instances: Read<Vec<ServiceInstance>> =
        read_of(Signal::stored(name.clone()), move || call.clone(), &[Topic::Service]);
    let tags = tags.into_iter().map(|tag| view! { <span class="tag">{tag}</span> }).collect_view();
    let about = view! { <span class="t3 t12">{namespace}</span>{tags} };
    panel(
        name,
        about,
        (),
        view! { <Loaded read=instances view=|found| view! { <InstanceTable found=found named=false/> }.into_any()/> },
    )
}

/// Addresses, with what runs there.
#[component]
pub fn InstanceTable(
    found: Signal<Vec<ServiceInstance>>,
    /// Instances of several services: each says of which.
    named: bool,
) -> impl IntoView {
    let texts = t();
    let rows = move || {
        let mut all = found.get();
        all.sort_by(|a, b| (&a.service_name, &a.address, a.port).cmp(&(&b.service_name, &b.address, b.port)));
        let row = |s: ServiceInstance| {
            let address = format!("{}:{}", s.address, s.port);
            view! {
                <tr>
                    <td class="m1"><a class="mono link" href=paths::web(&address) rel="noreferrer">{address.clone()}</a></td>
                    <td class="m2"><a href=paths::job(&s.namespace, &s.job_id)>{s.job_id.clone()}</a></td>
                    {named.then(|| view! { <td class="t2 x5">{s.service_name.clone()}</td> })}
                    <td class="mr"><a class="mono" href=paths::alloc(&s.alloc_id)>{short(&s.alloc_id)}</a></td>
                    <td class="x4"><a class="mono" href=paths::client(&s.node_id)>{short(&s.node_id)}</a></td>
                    <td class="t2 x5">{s.datacenter.clone()}</td>
                    <td class="t2 x3">{s.tags.into_iter().map(|tag| view! { <span class="tag">{tag}</span>" " }).collect_view()}</td>
                </tr>
            }
        };
        all.into_iter().take(PER_PAGE).map(row).collect_view()
    };
    let more = move || {
        let count = found.with(Vec::len);
        let says = || fill(texts.rows_of, &["1", &PER_PAGE.to_string(), &count.to_string()]);
        (count > PER_PAGE).then(|| view! { <p class="pager t3">{says()}</p> })
    };
    view! {
        {move || found.with(Vec::is_empty).then(|| view! { <p class="body t2">{texts.no_instances}</p> })}
        <table class="table stacked" aria-label=texts.addresses>
            <thead><tr><th scope="col">{texts.address}</th><th scope="col">{texts.job}</th>{named.then(|| view! { <th scope="col" class="x5">{texts.service}</th> })}
                <th scope="col">{texts.allocation}</th><th scope="col" class="x4">{texts.client}</th><th scope="col" class="x5">{texts.datacenter}</th><th scope="col" class="x3">{texts.tags}</th></tr></thead>
            <tbody>{rows}</tbody>
        </table>
        {more}
    }
}
