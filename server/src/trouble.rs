//! Notices when something begins or ceases to keep this server from its work, so that open pages show it without being turned.

use std::time::Duration;

use tokio::sync::watch;

/// How often it is looked. One look counts the open files; nobody else looks on behalf of a page.
const EVERY: Duration = Duration::from_secs(5);

/// Grows with each change.
#[derive(Debug)]
pub(crate) struct Changes(watch::Sender<u64>);

impl Default for Changes {
    fn default() -> Self {
        Changes(watch::Sender::new(0))
    }
}

impl Changes {
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.0.subscribe()
    }

    pub fn say(&self) {
        self.0.send_modify(|n| *n += 1);
    }

    /// Looks at what `trouble` says until the server stops.
    pub async fn follow(&self, trouble: impl Fn() -> Option<String>, mut stop: watch::Receiver<bool>) {
        let mut before = None;
        loop {
            let now = trouble().map(|text| gist(&text));
            if now != before {
                self.say();
                before = now;
            }
            if tokio::time::timeout(EVERY, stop.wait_for(|s| *s)).await.is_ok() {
                return;
            }
        }
    }
}

/// The text without its numbers, which may change with every look.
fn gist(text: &str) -> String {
    text.chars().filter(|c| !c.is_ascii_digit()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_numbers_are_no_other_trouble() {
        assert_eq!(gist("1000 of 1024 file descriptors"), gist("1024 of 1024 file descriptors"));
        assert_ne!(gist("no room"), gist("raft has stopped"));
    }
}
