//! Devices that a plugin knows.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tarpan_model::resources::{NodeDevice, NodeDeviceGroup};
use tarpan_rpc::plugin::devices_client::DevicesClient;
use tarpan_rpc::plugin::{self, DeviceStatsRequest, DevicesRequest, ReserveRequest};
use tonic::Code;
use tonic::transport::Channel;

use super::{Figure, Figures, Reservation, Source};
use crate::driver::{DeviceNode, Mount};
use crate::plugin::{MESSAGE, Plugin, answer, patience, said, short};

const LOOK: Duration = patience(5);
const RESERVE: Duration = patience(10);
/// How long a task waits for a plugin that was just started.
const RETURN: Duration = Duration::from_secs(8);

pub(crate) struct External {
    plugin: Arc<Plugin>,
}

impl External {
    pub(crate) fn new(plugin: Arc<Plugin>) -> External {
        External { plugin }
    }

    /// `None`: the plugin knows no devices.
    async fn client(&self, wait: Duration) -> Result<Option<DevicesClient<Channel>>, String> {
        let up = self.plugin.up_within(wait).await?;
        let client = DevicesClient::new(up.channel.clone()).max_decoding_message_size(MESSAGE);
        Ok(up.description.devices.is_some().then_some(client))
    }

    async fn found(&self) -> Result<Vec<NodeDeviceGroup>, String> {
        let Some(mut client) = self.client(Duration::ZERO).await? else { return Ok(Vec::new()) };
        let found = answer(LOOK, client.fingerprint(DevicesRequest {})).await;
        Ok(found.map_err(|status| said("Fingerprint", &status))?.groups.into_iter().map(group).collect())
    }

    async fn given(&self, ids: Vec<String>) -> Result<Reservation, String> {
        let client = self.client(RETURN).await?;
        let mut client = client.ok_or("the plugin knows no devices any more")?;
        let given = answer(RESERVE, client.reserve(ReserveRequest { ids })).await;
        let given = given.map_err(|status| said("Reserve", &status))?;
        Ok(Reservation {
            env: given.env.into_iter().collect(),
            mounts: given.mounts.into_iter().map(mount).collect(),
            nodes: given.nodes.into_iter().map(node).collect(),
        })
    }

    async fn measured(&self) -> Result<Vec<Figures>, String> {
        let Some(mut client) = self.client(Duration::ZERO).await? else { return Ok(Vec::new()) };
        match answer(LOOK, client.stats(DeviceStatsRequest {})).await {
            Ok(stats) => Ok(stats.devices.into_iter().map(figures).collect()),
            Err(status) if status.code() == Code::Unimplemented => Ok(Vec::new()),
            Err(status) => Err(said("Stats", &status)),
        }
    }
}

fn group(group: plugin::DeviceGroup) -> NodeDeviceGroup {
    let instance = |i: plugin::DeviceInstance| NodeDevice {
        id: i.id,
        healthy: i.healthy,
        health_description: short(&i.description),
    };
    NodeDeviceGroup {
        vendor: group.vendor,
        type_: group.r#type,
        name: group.name,
        instances: group.instances.into_iter().map(instance).collect(),
        attributes: group.attributes.into_iter().collect(),
    }
}

fn mount(mount: plugin::Mount) -> Mount {
    Mount {
        volume: "of a device".to_owned(),
        source: mount.source.into(),
        target: mount.target,
        read_only: mount.read_only,
        propagation: mount.propagation,
        selinux_label: String::new(),
    }
}

fn node(node: plugin::DeviceNode) -> DeviceNode {
    let permissions = if node.permissions.is_empty() { "rw".to_owned() } else { node.permissions };
    DeviceNode { source: node.source.into(), target: node.target.into(), permissions }
}

fn figures(stats: plugin::DeviceStats) -> Figures {
    let figure = |figure: plugin::Figure| Figure {
        value: figure.value,
        of: figure.of,
        unit: short(&figure.unit),
        description: short(&figure.description),
    };
    Figures {
        vendor: stats.vendor,
        type_: stats.r#type,
        name: stats.name,
        id: stats.id,
        summary: stats.summary.map(figure),
        all: stats.figures.into_iter().map(|(name, of)| (name, figure(of))).collect(),
    }
}

impl Source for External {
    fn name(&self) -> &str {
        &self.plugin.name
    }

    fn look(&self) -> BoxFuture<'_, Result<Vec<NodeDeviceGroup>, String>> {
        Box::pin(self.found())
    }

    fn reserve(&self, ids: Vec<String>) -> BoxFuture<'_, Result<Reservation, String>> {
        Box::pin(self.given(ids))
    }

    fn figures(&self) -> BoxFuture<'_, Result<Vec<Figures>, String>> {
        Box::pin(self.measured())
    }
}
