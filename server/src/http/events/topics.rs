//! Which events a stream is for.

use tarpan_state::event::Change;
use tarpan_state::{Event, Topic};

use crate::http::caller::{Access, Caller, Capability, READ_JOB};
use crate::http::context::Context;
use crate::http::error::ApiError;

/// Topics with keys, and a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Topic and key; `*` is any.
    topics: Vec<(String, String)>,
    /// `*`: every namespace.
    namespace: String,
    /// Whose eyes the events are for.
    caller: Caller,
}

/// An event as the stream names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    pub topic: Topic,
    pub key: String,
    /// Empty for what lives in no namespace.
    pub namespace: String,
    /// Ids that `Topic:key` may name as well.
    pub filter_keys: Vec<String>,
}

impl Wanted {
    #[cfg(test)]
    pub fn everything() -> Wanted {
        let topics = vec![("*".to_owned(), "*".to_owned())];
        Wanted { topics, namespace: "*".to_owned(), caller: Caller::Management }
    }

    pub fn read(cx: &Context) -> Result<Wanted, ApiError> {
        let topics = cx.query.all("topic").map(topic).collect::<Result<Vec<_>, _>>()?;
        let everything = || vec![("*".to_owned(), "*".to_owned())];
        let topics = if topics.is_empty() { everything() } else { topics };
        for (topic, _) in &topics {
            cx.demand(needs(topic))?;
        }
        Ok(Wanted { topics, namespace: cx.std.namespace.clone(), caller: cx.caller.clone() })
    }

    pub fn has(&self, event: &Named) -> bool {
        let here = event.namespace.is_empty()
            || ((self.namespace == "*" || self.namespace == event.namespace)
                && self.caller.may(needs(event.topic.name()), &event.namespace));
        let name = event.topic.name();
        let keyed = |key: &str| key == "*" || key == event.key || event.filter_keys.iter().any(|k| k == key);
        here && self.topics.iter().any(|(topic, key)| (topic == "*" || topic == name) && keyed(key))
    }
}

/// What has to be given to whoever listens to a topic.
fn needs(topic: &str) -> Capability {
    match topic {
        "Job" | "Allocation" | "Evaluation" | "Deployment" | "Service" | "CSIPlugin" => READ_JOB,
        "CSIVolume" => Capability::Namespace(&["csi-read-volume"]),
        "HostVolume" => Capability::Namespace(&["host-volume-read"]),
        "Node" | "NodeDrain" => Capability::Node(Access::Read),
        "Operator" => Capability::Operator(Access::Read),
        _ => Capability::Management,
    }
}

fn topic(text: &str) -> Result<(String, String), ApiError> {
    let (topic, key) = text.split_once(':').unwrap_or((text, "*"));
    if key.contains(':') || topic.is_empty() {
        return Err(ApiError::bad_request(format!(
            "Invalid topic query: error parsing topics: Invalid key value pair for topic, topic: {text}"
        )));
    }
    Ok((topic.to_owned(), if key.is_empty() { "*".to_owned() } else { key.to_owned() }))
}

impl Named {
    pub fn of(event: &Event) -> Named {
        // An empty key stands where there is no deployment: so the field writes it.
        let text = |id: Option<tarpan_model::DeploymentId>| id.map(|id| id.to_string()).unwrap_or_default();
        let (key, namespace, filter_keys) = match &event.change {
            Change::Job { row, .. } => (row.id().to_owned(), row.namespace().to_owned(), Vec::new()),
            Change::Evaluation { row, .. } => {
                let keys = vec![row.job_id.to_string(), text(row.deployment_id)];
                (row.id.to_string(), row.namespace.to_string(), keys)
            }
            Change::Allocation { row, .. } => {
                let keys = vec![row.job_id.to_string(), text(row.deployment_id)];
                (row.id.to_string(), row.namespace.to_string(), keys)
            }
            Change::Deployment { row, .. } => {
                (row.id.to_string(), row.namespace.to_string(), vec![row.job_id.to_string()])
            }
            Change::Node { row, .. } => (row.id.to_string(), String::new(), Vec::new()),
            Change::CSIVolume { row, .. } => {
                let keys = vec![row.id.to_string(), row.name.clone(), row.plugin.to_string()];
                (row.id.to_string(), row.namespace.to_string(), keys)
            }
            Change::CSIPlugin { row, .. } => (row.id.to_string(), String::new(), vec![row.id.to_string()]),
            Change::HostVolume { row, .. } => {
                let keys = vec![row.id.to_string(), row.name.to_string(), row.plugin_id.to_string()];
                (row.id.to_string(), row.namespace.to_string(), keys)
            }
            Change::Service { row, .. } => {
                let keys = vec![row.job_id.to_string(), row.service_name.to_string()];
                (row.id.to_string(), row.namespace.to_string(), keys)
            }
        };
        Named { topic: event.topic(), key, namespace, filter_keys }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(topics: &[&str], namespace: &str) -> bool {
        let topics = topics.iter().map(|t| topic(t).expect("a topic")).collect();
        let event = Named {
            topic: Topic::Allocation,
            key: "a1".to_owned(),
            namespace: "default".to_owned(),
            filter_keys: vec!["web".to_owned()],
        };
        Wanted { topics, namespace: namespace.to_owned(), caller: Caller::Management }.has(&event)
    }

    #[test]
    fn topics_keys_namespaces() {
        for (topics, namespace, expected) in [
            (&["*"] as &[&str], "default", true),
            (&["Allocation"], "*", true),
            (&["Allocation:web"], "default", true),
            (&["Allocation:a1"], "default", true),
            (&["Allocation:db"], "default", false),
            (&["Job", "Allocation:*"], "default", true),
            (&["Job"], "default", false),
            (&["*"], "other", false),
        ] {
            assert_eq!(has(topics, namespace), expected, "{topics:?} {namespace}");
        }
        assert!(topic("a:b:c").expect_err("two colons").message.contains("Invalid key value pair"));
    }

    #[test]
    fn fuzz_any_topic_is_read_or_refused() {
        let seeds = ["Job:web", "*", "Node:*", "Allocation:", ":x", "a:b:c"];
        let fuzz = tarpan_testkit::fuzz::Fuzz::new(env!("CARGO_MANIFEST_DIR"), "topics");
        fuzz.words(&[":", "*", "Job", "Deployment", "NodeDrain"]).seeds(seeds).texts(|text| match topic(text) {
            Ok((name, key)) => {
                assert_eq!(topic(&format!("{name}:{key}")).expect("as it was read"), (name.clone(), key.clone()));
                format!("{} {}", name == "*", key == "*")
            }
            Err(error) => {
                assert!(error.status.is_client_error() && error.message.contains(text));
                "refused".to_owned()
            }
        });
    }
}
