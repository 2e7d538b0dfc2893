//! What a person chose for themselves: language, theme, region. Kept in cookies, so that the server renders with them.

use crate::dom;

/// A language of the interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lang {
    #[default]
    En,
    Zh,
}

impl Lang {
    /// The value of `<html lang>`.
    pub fn tag(self) -> &'static str {
        match self {
            Lang::En => "en",
            Lang::Zh => "zh-CN",
        }
    }
    /// From a tag such as `zh-TW` or `en`; every Chinese is ours.
    pub fn from_tag(tag: &str) -> Lang {
        if tag.to_ascii_lowercase().starts_with("zh") { Lang::Zh } else { Lang::En }
    }
    /// The first language of an `Accept-Language` header that we have.
    pub fn accept(header: &str) -> Lang {
        let mut known = header.split(',').map(|part| part.split(';').next().unwrap_or("").trim());
        known.find(|t| t.starts_with("zh") || t.starts_with("en")).map(Lang::from_tag).unwrap_or_default()
    }
}

/// How the pages look; `System` follows the operating system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Theme {
    #[default]
    System,
    Light,
    Dark,
    Contrast,
}

impl Theme {
    pub const ALL: [Theme; 4] = [Theme::System, Theme::Light, Theme::Dark, Theme::Contrast];
    /// The value of `<html data-theme>`; `None` leaves it out.
    pub fn attribute(self) -> Option<&'static str> {
        match self {
            Theme::System => None,
            Theme::Light => Some("light"),
            Theme::Dark => Some("dark"),
            Theme::Contrast => Some("contrast"),
        }
    }
    pub fn from_text(text: &str) -> Theme {
        Theme::ALL.into_iter().find(|t| t.attribute() == Some(text)).unwrap_or_default()
    }
    pub fn next(self) -> Theme {
        let at = Theme::ALL.iter().position(|t| *t == self).unwrap_or(0);
        Theme::ALL[(at + 1) % Theme::ALL.len()]
    }
}

pub const LANG_COOKIE: &str = "tarpan_lang";
pub const THEME_COOKIE: &str = "tarpan_theme";
pub const REGION_COOKIE: &str = "tarpan_region";

/// The region whose state the pages show; empty: that of the server which is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Region(pub String);

impl Region {
    /// A name as regions may have; anything else is none.
    pub fn from_text(text: &str) -> Region {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        Region(if text.len() <= 128 && text.chars().all(plain) { text.to_owned() } else { String::new() })
    }

    /// From a request's `Cookie` header.
    pub fn from_headers(cookie: &str) -> Region {
        cookie_value(cookie, REGION_COOKIE).map(Region::from_text).unwrap_or_default()
    }

    /// What the server rendered with: written on `<html>`.
    pub fn from_document() -> Region {
        // It was looked at before it was written there.
        Region(dom::root_attribute("data-region").unwrap_or_default())
    }

    /// A request's path there.
    pub fn on(&self, path: &str) -> String {
        tarpan_api::transport::in_region(path, &self.0)
    }

    /// The attribute that says so; `None` leaves it out.
    pub fn attribute(&self) -> Option<String> {
        (!self.0.is_empty()).then(|| self.0.clone())
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prefs {
    pub lang: Lang,
    pub theme: Theme,
}

impl Prefs {
    /// From a request's `Cookie` and `Accept-Language` headers.
    pub fn from_headers(cookie: &str, accept_language: &str) -> Prefs {
        let lang = cookie_value(cookie, LANG_COOKIE).map_or_else(|| Lang::accept(accept_language), Lang::from_tag);
        let theme = cookie_value(cookie, THEME_COOKIE).map(Theme::from_text).unwrap_or_default();
        Prefs { lang, theme }
    }

    /// What the server rendered with: written on `<html>`.
    pub fn from_document() -> Prefs {
        let attribute = |name: &str| dom::root_attribute(name).unwrap_or_default();
        Prefs { lang: Lang::from_tag(&attribute("lang")), theme: Theme::from_text(&attribute("data-theme")) }
    }
}

fn cookie_value<'a>(header: &'a str, name: &str) -> Option<&'a str> {
    header.split(';').filter_map(|part| part.trim().split_once('=')).find(|(n, _)| *n == name).map(|(_, v)| v)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions() {
        let of = |cookie: &str| Region::from_headers(cookie).0;
        assert_eq!([of("a=b; tarpan_region=eu-west.1"), of("a=b"), of("tarpan_region=a&b=c")], ["eu-west.1", "", ""]);
    }

    #[test]
    fn from_headers() {
        let check = |cookie: &str, accept: &str, lang: Lang, theme: Theme| {
            assert_eq!(Prefs::from_headers(cookie, accept), Prefs { lang, theme }, "{cookie:?} {accept:?}");
        };
        check("", "", Lang::En, Theme::System);
        check("", "zh-CN,zh;q=0.9,en;q=0.8", Lang::Zh, Theme::System);
        check("", "de-DE, zh-TW;q=0.5, en;q=0.3", Lang::Zh, Theme::System);
        check("tarpan_lang=en; tarpan_theme=dark", "zh", Lang::En, Theme::Dark);
        check("a=b; tarpan_theme=neon", "en-GB", Lang::En, Theme::System);
    }
}
