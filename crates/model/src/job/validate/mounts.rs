//! Rules of what tasks, and proxies beside them, mount.

use super::super::{TaskGroup, VolumeMount};
use super::Rules;

/// Volumes that a task mounts have to be its group's.
pub(super) fn mounts(rules: &mut Rules, mounts: Option<&[VolumeMount]>, group: &TaskGroup) {
    for (index, mount) in mounts.unwrap_or_default().iter().enumerate() {
        let path = format!("VolumeMounts[{index}]");
        let volume = mount.volume.as_deref().unwrap_or_default();
        if volume.is_empty() {
            rules.say(&path, format!("Volume Mount ({index}) references an empty volume"));
        } else if !group.volumes.iter().flatten().any(|(label, _)| label == volume) {
            rules
                .say(&format!("{path}.Volume"), format!("Volume Mount ({index}) references undefined volume {volume}"));
        }
        if mount.destination.as_deref().unwrap_or_default().is_empty() {
            rules.say(&path, format!("Volume Mount ({index}) destination is empty"));
        }
        mount.names(rules, &path);
        let label = mount.selinux_label.as_deref().unwrap_or_default();
        if !matches!(label, "" | "z" | "Z") {
            let message =
                format!("Volume Mount ({index}) has an invalid SELinux label: {label:?} is neither \"z\" nor \"Z\"");
            rules.say(&format!("{path}.SELinuxLabel"), message);
        }
        let propagation = mount.propagation_mode.as_deref().unwrap_or("private");
        if !matches!(propagation, "" | "private" | "host-to-task" | "bidirectional") {
            let message = format!("Volume Mount ({index}) has an invalid propagation mode: {propagation:?}");
            rules.say(&format!("{path}.PropagationMode"), message);
        }
    }
}
