//! The document's title: the only way to set it.
//!
//! While the server renders, `leptos_meta` writes a title between `<title>` and `</title>` as it is, and titles are names that strangers
//! chose. So the text is made markup here. In the browser the title is a property of the document and takes plain text.

use leptos::prelude::*;
use leptos::text_prop::TextProp;

/// Sets the title: what is shown, then the product's name, which stands alone where nothing has a name.
#[component]
pub fn Title(
    /// Plain text.
    #[prop(into)]
    text: TextProp,
) -> impl IntoView {
    view! { <leptos_meta::Title text=move || written(&text.get())/> }
}

/// A title as it has to be handed to `leptos_meta`.
fn written(text: &str) -> String {
    as_markup(if text.is_empty() { "Tarpan".to_owned() } else { format!("{text} · Tarpan") })
}

#[cfg(feature = "ssr")]
fn as_markup(text: String) -> String {
    html_escape::encode_text(&text).into_owned()
}

#[cfg(not(feature = "ssr"))]
fn as_markup(text: String) -> String {
    text
}

#[cfg(all(test, feature = "ssr"))]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_end_the_title() {
        assert_eq!((written("web"), written("")), ("web · Tarpan".to_owned(), "Tarpan".to_owned()));
        assert_eq!(
            written("</title><script src=/v1/x></script>&amp;"),
            "&lt;/title&gt;&lt;script src=/v1/x&gt;&lt;/script&gt;&amp;amp; · Tarpan"
        );
    }
}
