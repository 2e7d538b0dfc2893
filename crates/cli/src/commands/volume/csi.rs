//! CSI volumes. Their part of this version is not built yet; each arm says so.

use tarpan_api::Client;

use super::Shown;
use super::spec::Specification;
use crate::command::{Fail, Outcome};
use crate::output::Format;

fn not_there(what: &str) -> Fail {
    Fail::new(format!("{what} needs CSI, which is not built yet: this version has volumes of type \"host\" only"))
}

/// The section of a list that is theirs.
pub async fn section(_: &Client, _: Shown) -> Result<String, Fail> {
    Ok("No CSI volumes".to_owned())
}

/// The list as the API gives it.
pub async fn print_list(_: &Client, format: &Format) -> Outcome {
    format.print(&serde_json::json!([]))
}

/// One volume of that id or of the only id that begins so.
pub async fn show(_: &Client, word: &str, _: &Format, _: Shown) -> Outcome {
    Err(Fail::new(format!("Error querying CSI volumes: no volumes with prefix or ID {word:?} found")))
}

pub async fn create(_: &Client, _: &Specification) -> Outcome {
    Err(not_there("A volume of type \"csi\""))
}

pub async fn register(_: &Client, _: &Specification) -> Outcome {
    Err(not_there("A volume of type \"csi\""))
}

/// Has its plugin delete it; `secrets` are `key=value`.
pub async fn delete(_: &Client, _id: &str, _secrets: &[String]) -> Outcome {
    Err(not_there("Deleting a volume of type \"csi\""))
}

pub async fn deregister(_: &Client, _id: &str, _force: bool) -> Outcome {
    Err(not_there(
        "\"volume deregister\", which is for volumes of type \"csi\" (\"volume delete -type host\" is for others),",
    ))
}

/// The text of an example file.
pub fn example(_json: bool) -> Result<&'static str, Fail> {
    Err(not_there("An example of type \"csi\""))
}
