//! Figures of devices.

use tarpan_api::wire::DeviceGroupStats;

use super::block;

/// All figures, a block an instance.
pub fn device_stats(groups: &[DeviceGroupStats]) -> String {
    let one = |group: &DeviceGroupStats| {
        let instances = group.instance_stats.iter().map(|(id, stats)| {
            let mut pairs =
                vec![("Device".to_owned(), format!("{}/{}/{}[{id}]", group.vendor, group.type_, group.name))];
            let figures = stats.stats.iter().flat_map(|all| &all.attributes);
            pairs.extend(figures.map(|(name, figure)| (name.clone(), figure.text())));
            block(&pairs)
        });
        instances.collect::<Vec<_>>()
    };
    groups.iter().flat_map(one).collect::<Vec<_>>().join("\n\n")
}

#[cfg(test)]
mod tests {
    use tarpan_api::wire::{DeviceStats, StatObject, StatValue};

    use super::*;

    #[test]
    fn figures_are_shown_by_instance() {
        let memory = StatValue {
            float_numerator: Some(3.25),
            float_denominator: Some(16.0),
            unit: "GiB".to_owned(),
            ..StatValue::default()
        };
        let state = StatValue { string: Some("idle".to_owned()), ..StatValue::default() };
        let attributes = [("Memory".to_owned(), memory.clone()), ("State".to_owned(), state)].into();
        let stats = DeviceStats {
            summary: Some(memory),
            stats: Some(StatObject { attributes, ..StatObject::default() }),
            ..DeviceStats::default()
        };
        let group = DeviceGroupStats {
            vendor: "acme".to_owned(),
            type_: "gpu".to_owned(),
            name: "x1".to_owned(),
            instance_stats: [("a".to_owned(), stats)].into(),
        };
        insta::assert_snapshot!(device_stats(&[group]), @r"
        Device = acme/gpu/x1[a]
        Memory = 3.25 / 16 GiB
        State  = idle
        ");
    }
}
