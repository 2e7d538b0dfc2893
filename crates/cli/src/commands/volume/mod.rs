//! `volume …`: one family for volumes of every type. What a file or `-type` says decides between [`host`] and [`csi`].

use crate::command::{Entry, Fail};

mod claims;
mod csi;
mod host;
mod init;
mod make;
mod remove;
mod spec;
mod status;

pub fn table() -> Vec<Entry> {
    vec![
        Entry::of::<claims::Delete>(),
        Entry::of::<claims::List>(),
        Entry::of::<csi::detach::Detach>(),
        Entry::of::<csi::snapshot::Create>(),
        Entry::of::<csi::snapshot::Delete>(),
        Entry::of::<csi::snapshot::List>(),
        Entry::of::<init::Init>(),
        Entry::of::<make::Create>(),
        Entry::of::<make::Register>(),
        Entry::of::<remove::Delete>(),
        Entry::of::<remove::Deregister>(),
        Entry::of::<status::Status>(),
    ]
}

/// A type of volumes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Host,
    Csi,
}

impl Kind {
    fn parse(text: &str) -> Result<Kind, Fail> {
        match text {
            "host" => Ok(Kind::Host),
            "csi" => Ok(Kind::Csi),
            other => Err(Fail::new(format!("Error: {other:?} is no type of volumes: there are \"host\" and \"csi\""))),
        }
    }
}

/// How much of volumes is shown.
#[derive(Clone, Copy, Debug, Default)]
struct Shown {
    short: bool,
    verbose: bool,
}
