//! What becomes of one terminal: when it connects, what it says, when it tries again. Pure.
//!
//! A command ends with its connection, so nothing is resumed (docs/decisions/0043): after a loss the page waits until the server answers,
//! and begins anew when the person asks for it. A command is never run by itself.

/// How a terminal stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    Connecting,
    Open,
    /// The command ended by itself.
    Exited(i64),
    /// Why the server or the node runs nothing.
    Refused(String),
    /// The server did not answer so many times since.
    Lost(u32),
    /// It answers again.
    Back,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Opened,
    Exited(i64),
    /// The connection ended: code and reason of the WebSocket.
    Closed(u16, String),
    /// What a [`Effect::Probe`] found.
    Answered,
    Silent,
    /// A key while nothing is connected.
    Enter,
}

/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    Connect,
    /// A line of ours on the screen.
    Say(Line),
    /// Ask the server, after so long, whether it is there.
    Probe {
        after_ms: i32,
    },
}

/// What is said; the page has the words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    Exited(i64),
    Refused(String),
    Lost,
    Back,
}

/// Codes by which the server says why: a fault of ours, one of the caller's.
const REFUSALS: [u16; 2] = [1011, 1008];

/// How long until probe number `n` (from 0).
pub fn backoff_ms(n: u32) -> i32 {
    (500 * 2_i32.pow(n.min(5))).min(10_000)
}

impl Phase {
    /// The phase after `event`, and what to do.
    pub fn step(self, event: Event) -> (Phase, Vec<Effect>) {
        match (self, event) {
            (Phase::Connecting, Event::Opened) => (Phase::Open, Vec::new()),
            (Phase::Connecting | Phase::Open, Event::Exited(code)) => {
                (Phase::Exited(code), vec![Effect::Say(Line::Exited(code))])
            }
            (Phase::Connecting | Phase::Open, Event::Closed(code, why)) if REFUSALS.contains(&code) => {
                (Phase::Refused(why.clone()), vec![Effect::Say(Line::Refused(why))])
            }
            (Phase::Connecting | Phase::Open, Event::Closed(..)) => {
                (Phase::Lost(0), vec![Effect::Say(Line::Lost), Effect::Probe { after_ms: backoff_ms(0) }])
            }
            (Phase::Lost(_), Event::Answered) => (Phase::Back, vec![Effect::Say(Line::Back)]),
            (Phase::Lost(n), Event::Silent) => {
                (Phase::Lost(n + 1), vec![Effect::Probe { after_ms: backoff_ms(n + 1) }])
            }
            (Phase::Exited(_) | Phase::Refused(_) | Phase::Back, Event::Enter) => {
                (Phase::Connecting, vec![Effect::Connect])
            }
            // An answer to an older question, or a key that means nothing now.
            (phase, _) => (phase, Vec::new()),
        }
    }

    /// Whether what is typed goes to a command.
    pub fn is_open(&self) -> bool {
        matches!(self, Phase::Connecting | Phase::Open)
    }
}

/// Why a text is no command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoCommand {
    Empty,
    QuoteOpen,
}

/// The words of a command line: blanks part them, `'` and `"` hold them together, `\` takes the next character as it is (not within `'`).
/// No shell reads it: who wants one names it.
pub fn words(text: &str) -> Result<Vec<String>, NoCommand> {
    let (mut found, mut word, mut quote) = (Vec::new(), None::<String>, None);
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match (quote, c) {
            (None, ' ' | '\t' | '\n' | '\r') => found.extend(word.take()),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (Some(q), c) if q == c => quote = None,
            (None | Some('"'), '\\') => word.get_or_insert_default().push(rest.next().unwrap_or('\\')),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    found.extend(word);
    match (quote, found.first().is_some_and(|first| !first.is_empty())) {
        (Some(_), _) => Err(NoCommand::QuoteOpen),
        (None, false) => Err(NoCommand::Empty),
        (None, true) => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays events; gives the phase at the end and everything that was to be done.
    fn play(events: &[Event]) -> (Phase, Vec<Effect>) {
        let mut done = Vec::new();
        let phase = events.iter().fold(Phase::Connecting, |phase, event| {
            let (phase, effects) = phase.step(event.clone());
            done.extend(effects);
            phase
        });
        (phase, done)
    }

    fn closed(code: u16) -> Event {
        Event::Closed(code, "no such task".to_owned())
    }

    #[test]
    fn a_command_that_ends_says_how_and_runs_again_when_asked() {
        let (phase, done) = play(&[Event::Opened, Event::Exited(3), closed(1000)]);
        assert_eq!((phase, done), (Phase::Exited(3), vec![Effect::Say(Line::Exited(3))]));
        let (phase, done) = play(&[Event::Opened, Event::Exited(0), Event::Enter]);
        assert_eq!((phase, done.last()), (Phase::Connecting, Some(&Effect::Connect)));
    }

    #[test]
    fn a_lost_connection_is_waited_for_and_runs_nothing_by_itself() {
        let lost = [Event::Opened, closed(1006), Event::Silent, Event::Silent];
        let (phase, done) = play(&lost);
        let probe = |n| Effect::Probe { after_ms: backoff_ms(n) };
        assert_eq!((phase, done), (Phase::Lost(2), vec![Effect::Say(Line::Lost), probe(0), probe(1), probe(2)]));
        let (phase, done) = play(&[&lost[..], &[Event::Enter, Event::Answered]].concat());
        assert_eq!(phase, Phase::Back);
        assert!(!done.contains(&Effect::Connect), "{done:?}");
        assert_eq!(play(&[&lost[..], &[Event::Answered, Event::Enter]].concat()).0, Phase::Connecting);
        // What an older probe finds is no news to the new session.
        assert_eq!(play(&[&lost[..], &[Event::Answered, Event::Enter, Event::Silent]].concat()).0, Phase::Connecting);
    }

    #[test]
    fn a_refusal_is_no_loss() {
        for code in REFUSALS {
            let (phase, done) = play(&[Event::Opened, closed(code)]);
            assert_eq!(phase, Phase::Refused("no such task".into()));
            assert_eq!(done, [Effect::Say(Line::Refused("no such task".into()))]);
        }
    }

    #[test]
    fn waits_grow_and_stop_growing() {
        assert_eq!((0..7).map(backoff_ms).collect::<Vec<_>>(), [500, 1000, 2000, 4000, 8000, 10_000, 10_000]);
    }

    #[test]
    fn commands_are_words() {
        let check = |text: &str, expected: &[&str]| assert_eq!(words(text).expect(text), expected, "{text}");
        check("/bin/sh", &["/bin/sh"]);
        check("  /bin/sh  -c 'echo \"a b\"; id' ", &["/bin/sh", "-c", "echo \"a b\"; id"]);
        check(r#"echo a\ b "c \"d\"" '\' ''"#, &["echo", "a b", "c \"d\"", "\\", ""]);
        check("echo x\\", &["echo", "x\\"]);
        assert_eq!(words(" \t"), Err(NoCommand::Empty));
        assert_eq!(words("'' a"), Err(NoCommand::Empty));
        assert_eq!(words("echo 'a"), Err(NoCommand::QuoteOpen));
    }
}
