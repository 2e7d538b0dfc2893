//! What whoever reads of a failed start can do about it, where the sentence that came does not say so: from the kernel, an
//! engine, or a driver's own short words.

/// A part of a sentence, and what to do when it is there. The first that fits counts.
const ADVICE: [(&str, &str); 17] = [
    (
        "the Docker daemon does not answer",
        "start it, or name where it listens by plugin \"docker\" { config { endpoint } }",
    ),
    (
        "failed to connect to the Docker daemon",
        "start it, or name where it listens by plugin \"docker\" { config { endpoint } }",
    ),
    ("executable file not found", "name the program by its path, or bring it with an artifact or the image"),
    ("its working directory", "it is made before the task starts: was it removed by an earlier run of it?"),
    (
        "no such file or directory",
        "it has to be where the task looks for it: on the node, in the image, or fetched by an artifact",
    ),
    (
        "permission denied",
        "it has to be executable (an artifact may be given its mode), and the task's user may have to be another",
    ),
    ("exec format error", "the program is for another processor, or a script without its first line"),
    (
        "address already in use",
        "another program has the port: let the port be chosen (no `static`), or stop that program",
    ),
    (
        "port is already allocated",
        "another container has the port: let the port be chosen (no `static`), or stop that container",
    ),
    (
        "no space left on device",
        "make room on the node's disk, or let the agent collect earlier (client.gc_disk_usage_threshold)",
    ),
    ("too many open files", "raise the limit of open files of the agent (LimitNOFILE of its unit)"),
    (
        "cannot allocate memory",
        "the node's memory is used up: reserve some of it (client.reserved), or place less on the node",
    ),
    ("would run without limits", "the agent has to run as root, with control groups mounted at /sys/fs/cgroup"),
    ("is taken by somebody else", "remove what has the name: docker rm -f"),
    ("stays taken", "remove what has the name: docker rm -f"),
    (
        "is not allowed on this node",
        "the job may ask for something else, or the operator allow it in the driver's plugin block",
    ),
    (
        "failed to initialize task: driver",
        "the node may have it switched off (client.options, plugin blocks): node status -verbose lists its drivers",
    ),
];

/// The sentence, with what to do behind it where it does not say so itself.
pub(super) fn advised(text: &str) -> String {
    let lower = text.to_lowercase();
    let says_already =
        ["would allow", "allow_", "make sure", "; set ", "gives it"].iter().any(|word| lower.contains(word));
    let advice = ADVICE.iter().find(|(part, _)| lower.contains(&part.to_lowercase())).filter(|_| !says_already);
    match advice {
        Some((_, what)) => format!("{}: {what}", text.trim_end_matches('.')),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_to_do_is_said_once() {
        for (text, end) in [
            ("failed to start command /x: no such file or directory", "or fetched by an artifact"),
            ("exec: \"x\": executable file not found in $PATH", "bring it with an artifact or the image"),
            ("Failed to start container: driver failed: port is already allocated.", "or stop that container"),
            ("running as uid 1 is not allowed on this node", "in the driver's plugin block"),
            (
                "emulator \"x\" is not allowed on this node; plugin \"qemu\" { config { emulators_allowlist } } would allow it",
                "would allow it",
            ),
            ("failed to initialize task: driver \"x\" not found", "lists its drivers"),
            ("something that nobody knows", "something that nobody knows"),
        ] {
            let advised = advised(text);
            assert!(advised.ends_with(end) && advised.starts_with(text.trim_end_matches('.')), "{advised}");
        }
    }
}
