//! Volumes as callers write them, read into rows.

use tarpan_api::wire;
use tarpan_model::Namespace;
use tarpan_model::csi::{AccessMode, AttachmentMode, Capability, CsiVolume, MountOptions, Topology, TopologyRequest};

use crate::http::context::Context;
use crate::http::error::ApiError;

/// Bytes of all that one volume says.
const MOST: usize = 256 << 10;

/// The row that is asked for; `namespace`: where the volume names none. 400 with what is wrong.
pub fn volume(asked: wire::CsiVolume, namespace: &str) -> Result<CsiVolume, ApiError> {
    let bytes = serde_json::to_vec(&asked).map_or(0, |text| text.len());
    if bytes > MOST {
        return Err(ApiError::bad_request(format!("a volume of {bytes} bytes: at most {MOST} are taken")));
    }
    let namespace = if asked.namespace.is_empty() { namespace } else { &asked.namespace };
    let mut row = CsiVolume::new(Namespace::new(namespace), &asked.id, &asked.plugin_id);
    if !asked.name.is_empty() {
        row.name = asked.name;
    }
    row.external_id = asked.external_id;
    row.requested_topologies = asked.requested_topologies.map(|asked| TopologyRequest {
        required: asked.required.into_iter().map(|place| place.segments).collect(),
        preferred: asked.preferred.into_iter().map(|place| place.segments).collect(),
    });
    row.topologies = asked.topologies.into_iter().map(|place| place.segments).collect::<Vec<Topology>>();
    row.mount_options =
        asked.mount_options.map(|options| MountOptions { fs_type: options.fs_type, flags: options.mount_flags });
    row.secrets = asked.secrets;
    row.parameters = asked.parameters;
    row.context = asked.context;
    row.capacity = asked.capacity.max(0);
    row.requested_capacity_min = asked.requested_capacity_min;
    row.requested_capacity_max = asked.requested_capacity_max;
    row.capabilities = asked.requested_capabilities.iter().map(capability).collect::<Result<_, _>>()?;
    row.clone_id = asked.clone_id;
    row.snapshot_id = asked.snapshot_id;
    Ok(row)
}

fn capability(asked: &wire::VolumeCapability) -> Result<Capability, ApiError> {
    let one_of = |what: &str, text: &str, known: Vec<&str>| {
        ApiError::bad_request(format!("validation: unknown {what} {text:?}: it is one of {}", known.join(", ")))
    };
    let access = AccessMode::parse(&asked.access_mode).ok_or_else(|| {
        one_of("access mode", &asked.access_mode, AccessMode::ALL.iter().map(|m| m.as_str()).collect())
    })?;
    let attachment = AttachmentMode::parse(&asked.attachment_mode).ok_or_else(|| {
        one_of("attachment mode", &asked.attachment_mode, AttachmentMode::ALL.iter().map(|m| m.as_str()).collect())
    })?;
    Ok(Capability { access, attachment })
}

/// The secrets that come with a request which has something deleted or listed: in its body, or as a header.
pub fn secrets_of(cx: &Context) -> Result<std::collections::BTreeMap<String, String>, ApiError> {
    let header = cx.headers().get("x-nomad-csi-secrets").and_then(|value| value.to_str().ok());
    let mut secrets = secrets(header)?;
    secrets.extend(cx.decode_optional::<wire::CsiSecrets>()?.secrets);
    Ok(secrets)
}

/// Secrets as a header of a request has them: `key=value,key=value`.
fn secrets(header: Option<&str>) -> Result<std::collections::BTreeMap<String, String>, ApiError> {
    let pairs = header.unwrap_or_default().split(',').filter(|pair| !pair.trim().is_empty());
    let pair = |pair: &str| {
        let (key, value) = pair.split_once('=').ok_or_else(|| {
            // The text itself is a secret, perhaps.
            ApiError::bad_request("X-Nomad-CSI-Secrets: a secret is written key=value, several are divided by commas")
        })?;
        Ok((key.trim().to_owned(), value.to_owned()))
    };
    pairs.map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_that_nobody_knows_is_named_with_those_that_are() {
        let asked = wire::CsiVolume {
            id: "v".to_owned(),
            requested_capabilities: vec![wire::VolumeCapability {
                access_mode: "single-writer".to_owned(),
                attachment_mode: "file-system".to_owned(),
            }],
            ..wire::CsiVolume::default()
        };
        let refused = volume(asked, "default").expect_err("no such mode");
        assert!(
            refused.message.starts_with("validation: unknown access mode \"single-writer\": it is one of single-node")
        );
    }

    #[test]
    fn secrets_of_a_header_are_read_and_never_repeated() {
        let read = secrets(Some("a=1, b=x=y")).expect("pairs");
        assert_eq!(read, [("a", "1"), ("b", "x=y")].map(|(k, v)| (k.to_owned(), v.to_owned())).into());
        let refused = secrets(Some("hunter2")).expect_err("no pair");
        assert!(!refused.message.contains("hunter2"), "{}", refused.message);
        assert!(secrets(None).expect("none").is_empty());
    }
}
