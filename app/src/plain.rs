//! Text that strangers wrote, made safe to look at: what would not be seen, or would turn what stands around it, is shown as a sign.

/// Characters that change the direction of what follows them, or take no room.
fn is_hidden(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{2028}' | '\u{2029}')
}

/// A control character's picture, a hidden character's number; others as they are.
fn shown(c: char, out: &mut String) {
    match c {
        '\u{0}'..='\u{1f}' => out.push(char::from_u32(0x2400 + c as u32).unwrap_or('\u{fffd}')),
        '\u{7f}' => out.push('\u{2421}'),
        '\u{80}'..='\u{9f}' => out.push_str(&format!("<{:02X}>", c as u32)),
        c if is_hidden(c) => out.push_str(&format!("<{:04X}>", c as u32)),
        c => out.push(c),
    }
}

/// A name, on one line.
pub fn name(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    text.chars().for_each(|c| shown(c, &mut out));
    out
}

/// A text of lines: line breaks and tabs stay, the terminal's colours go.
pub fn lines(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.replace("\r\n", "\n").chars() {
        if matches!(c, '\n' | '\t') { out.push(c) } else { shown(c, &mut out) }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_not_be_seen_is_shown() {
        assert_eq!(name("a\nb\tc\u{1b}[31m\u{7f}\u{9b}"), "a␊b␉c␛[31m␡<9B>");
        assert_eq!(name("evil\u{202e}txt.exe\u{200b}"), "evil<202E>txt.exe<200B>");
        assert_eq!(name("naïve 文件.txt"), "naïve 文件.txt");
        assert_eq!(lines("a\r\nb\t\u{0}\u{2066}c\n"), "a\nb\t␀<2066>c\n");
    }
}
