//! The first demo's files and what it takes to play them on this machine.

use std::path::PathBuf;

use anyhow::Result;

use crate::lab::{Lab, root};

/// What the demo's tasks run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    Docker,
    RawExec,
}

impl Flavour {
    /// The jobspec of `pytechco-NAME`.
    pub fn file(self, name: &str) -> PathBuf {
        let folder = match self {
            Flavour::Docker => root().join("jobs"),
            Flavour::RawExec => root().join("jobs/raw_exec"),
        };
        folder.join(format!("pytechco-{name}.nomad.hcl"))
    }

    /// The employee's jobspec as the demo changes it: every second, as sales engineers.
    pub fn faster_employee(self, lab: &Lab) -> Result<PathBuf> {
        let text = std::fs::read_to_string(self.file("employee"))?;
        let text = text.replace("0/3 * * * * * *", "0/1 * * * * * *");
        let text = match self {
            Flavour::Docker => text.replace("// args", "args"),
            Flavour::RawExec => text.replace("        args    = [\"employee\"]\n", "").replace("// args", "args"),
        };
        lab.file("pytechco-employee.nomad.hcl", &text)
    }
}
