//! What callers send to `/v1`: JSON read as Go reads it (any case of names, unknown names ignored), with Go's words for bad syntax. Pure.
//!
//! The text goes straight into the typed shape: nothing unknown is kept, and what is made is counted on the way. A few
//! bytes of text can stand for a block of a thousand (`{},` in a list of task groups), so a body is refused when it would
//! make more than a few times its own size.
//!
//! What reads a shape is made anew for each of them, most of it for the job's four hundred fields: it is made here, once ([`Request`]).

mod syntax;

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;

use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, Visitor,
};
use tarpan_api::wire;

pub use syntax::check;

/// Why a body can't be read, as a sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadBody(String);

/// A shape that bodies have.
pub trait Request: Sized {
    /// The value of `body`. Errors: there is none, or it can't be read.
    fn read(body: &[u8]) -> Result<Self, BadBody>;
}

macro_rules! requests {
    ($($of:ty),* $(,)?) => {
        $(impl Request for $of {
            fn read(body: &[u8]) -> Result<Self, BadBody> {
                decode(body)
            }
        })*
    };
}

requests! {
    wire::CsiSecrets,
    wire::CsiSnapshots,
    wire::CsiVolumesRequest,
    wire::DeploymentAllocHealthRequest,
    wire::DeploymentPauseRequest,
    wire::DeploymentPromoteRequest,
    wire::EvalDeleteRequest,
    wire::HostVolumeRequest,
    wire::JobDispatchRequest,
    wire::JobEvaluateRequest,
    wire::JobPlanRequest,
    wire::JobRegisterRequest,
    wire::JobRevertRequest,
    wire::JobStabilityRequest,
    wire::JobStatusesRequest,
    wire::JobValidateRequest,
    wire::JobsParseRequest,
    wire::KeyringRequest,
    wire::NodeEligibilityRequest,
    wire::NodeInBody,
    wire::NodeUpdateDrainRequest,
    wire::ScalingRequest,
    wire::SchedulerConfiguration,
    wire::SearchRequest,
    wire::TagVersionRequest,
}

/// The value of `body`, and the default where there is none.
pub fn read_optional<T: Request + Default>(body: &[u8]) -> Result<T, BadBody> {
    if body.iter().all(u8::is_ascii_whitespace) { Ok(T::default()) } else { T::read(body) }
}

fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, BadBody> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Err(BadBody("Request body is empty".to_owned()));
    }
    if let Some(wrong) = check(body) {
        return Err(BadBody(wrong));
    }
    let room = Room::for_body(body.len());
    let mut json = serde_json::Deserializer::from_slice(body);
    T::deserialize(AnyCase { inner: &mut json, room: &room }).map_err(|e| BadBody(format!("json: {e}")))
}

/// How many bytes a body may still make.
struct Room {
    left: Cell<usize>,
    most: usize,
}

impl Room {
    /// What any body may make: tens of thousands of blocks written by hand.
    const BASE: usize = 48 << 20;
    /// What each byte of it may make besides. Clients write every field's name, so that their bodies make less than this.
    const PER_BYTE: usize = 6;
    /// A place in a list or map, with the allocation behind it.
    const ELEMENT: usize = 64;
    /// A field of a block.
    const FIELD: usize = 32;
    /// A map of free shape takes room for several entries from its first.
    const MAP: usize = 512;

    fn for_body(bytes: usize) -> Room {
        let most = Room::BASE + Room::PER_BYTE * bytes;
        Room { left: Cell::new(most), most }
    }

    fn take<E: serde::de::Error>(&self, bytes: usize) -> Result<(), E> {
        match self.left.get().checked_sub(bytes) {
            Some(left) => {
                self.left.set(left);
                Ok(())
            }
            None => Err(E::custom(format_args!(
                "this body would take more than {} MiB when read: it holds too many small values",
                self.most >> 20
            ))),
        }
    }
}

/// A deserialiser whose objects match the fields of a struct in any case.
struct AnyCase<'r, D> {
    inner: D,
    room: &'r Room,
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for AnyCase<'_, D> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.inner.deserialize_any(Seen { visitor, fields: None, room: self.room })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.room.take::<D::Error>(Room::FIELD * fields.len())?;
        self.inner.deserialize_struct(name, fields, Seen { visitor, fields: Some(fields), room: self.room })
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.inner.deserialize_option(Seen { visitor, fields: None, room: self.room })
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, D::Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.inner.deserialize_enum(name, variants, visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.inner.deserialize_ignored_any(visitor)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map identifier
    }
}

/// Passes on what is met, collections wrapped in turn.
struct Seen<'r, V> {
    visitor: V,
    /// Of the struct that is read, if it is one.
    fields: Option<&'static [&'static str]>,
    room: &'r Room,
}

macro_rules! pass_on {
    ($($method:ident: $kind:ty),*) => {
        $(fn $method<E: serde::de::Error>(self, value: $kind) -> Result<V::Value, E> {
            self.visitor.$method(value)
        })*
    };
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Seen<'_, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.visitor.expecting(f)
    }

    pass_on! {
        visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64, visit_str: &str,
        visit_borrowed_str: &'de str, visit_string: String
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<V::Value, E> {
        self.visitor.visit_unit()
    }

    fn visit_none<E: serde::de::Error>(self) -> Result<V::Value, E> {
        self.visitor.visit_none()
    }

    fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        self.visitor.visit_some(AnyCase { inner, room: self.room })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        self.visitor.visit_seq(Collection { inner, fields: &[], room: self.room })
    }

    fn visit_map<A: MapAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        if self.fields.is_none() {
            self.room.take::<A::Error>(Room::MAP)?;
        }
        self.visitor.visit_map(Collection { inner, fields: self.fields.unwrap_or_default(), room: self.room })
    }

    fn visit_enum<A: EnumAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        self.visitor.visit_enum(inner)
    }
}

struct Collection<'r, A> {
    inner: A,
    fields: &'static [&'static str],
    room: &'r Room,
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Collection<'_, A> {
    type Error = A::Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, A::Error> {
        self.room.take::<A::Error>(Room::ELEMENT)?;
        self.inner.next_element_seed(AnyCaseSeed { seed, room: self.room })
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Collection<'_, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        let Some(key) = self.inner.next_key::<Cow<'de, str>>()? else { return Ok(None) };
        match self.fields.iter().find(|f| f.eq_ignore_ascii_case(&key)) {
            Some(field) => seed.deserialize((*field).into_deserializer()).map(Some),
            None => {
                // A field that nobody knows takes no room.
                if self.fields.is_empty() {
                    self.room.take::<A::Error>(Room::ELEMENT + key.len())?;
                }
                seed.deserialize(IntoDeserializer::<A::Error>::into_deserializer(key)).map(Some)
            }
        }
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, A::Error> {
        self.inner.next_value_seed(AnyCaseSeed { seed, room: self.room })
    }
}

struct AnyCaseSeed<'r, S> {
    seed: S,
    room: &'r Room,
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for AnyCaseSeed<'_, S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, inner: D) -> Result<S::Value, D::Error> {
        self.seed.deserialize(AnyCase { inner, room: self.room })
    }
}

#[cfg(test)]
mod tests {
    use tarpan_api::wire::{JobRegisterRequest, NodeUpdateDrainRequest};

    use super::*;

    #[test]
    fn any_case_at_every_depth() {
        let body =
            br#"{"job": {"id": "a", "taskgroups": [{"name": "g", "Count": 2}]}, "enforceIndex": true, "Odd": [1],
            "SUBMISSION": {"source": "x", "format": "hcl2"}}"#;
        let request: JobRegisterRequest = decode(body).expect("readable");
        let job = request.job.expect("there is one");
        assert_eq!((job.id(), job.groups()[0].count(), request.enforce_index), ("a", 2, true));
        assert_eq!(request.submission.expect("there is one").source, "x");
        let request: NodeUpdateDrainRequest = decode(br#"{"DrainSpec": {"Deadline": "1h"}}"#).expect("readable");
        assert_eq!(request.drain_spec.expect("there is one").deadline, tarpan_model::Dur::from_secs(3600));
    }

    #[test]
    fn refusals() {
        let refused = |body: &[u8]| decode::<JobRegisterRequest>(body).expect_err("must not be read").to_string();
        assert_eq!(refused(b" \n"), "Request body is empty");
        assert_eq!(refused(b"{not json"), "invalid character 'n' looking for beginning of object key string");
        assert!(refused(br#"{"Job": 3}"#).starts_with("json: "));
        assert!(!read_optional::<JobRegisterRequest>(b"").expect("empty is fine").enforce_index);
    }

    #[test]
    fn a_body_makes_a_few_times_its_size_at_most() {
        let refused = |body: String| {
            let message = decode::<JobRegisterRequest>(body.as_bytes()).expect_err("must not be read").to_string();
            assert!(message.contains("too many small values"), "{message}");
        };
        let many = |one: &str| vec![one; 400_000].join(",");
        refused(format!(r#"{{"Job": {{"ID": "a", "TaskGroups": [{}]}}}}"#, many("{}")));
        refused(format!(r#"{{"Job": {{"ID": "a", "Constraints": [{}]}}}}"#, many("{}")));
        let config = |inside: String| {
            format!(r#"{{"Job": {{"TaskGroups": [{{"Tasks": [{{"Config": {{"x": [{inside}]}}}}]}}]}}}}"#)
        };
        refused(config(many(r#"{"a":0}"#)));
        refused(config(vec!["0"; 2_000_000].join(",")));
        assert!(decode::<JobRegisterRequest>(config(vec!["0"; 100_000].join(",")).as_bytes()).is_ok());
    }

    #[test]
    fn what_nobody_knows_takes_no_room() {
        let odd = format!(
            r#"{{"Job": {{"ID": "a"}}, "Odd": [{}], "Deep": {{"a": {{"b": []}}}}}}"#,
            vec!["0"; 3_000_000].join(",")
        );
        assert_eq!(decode::<JobRegisterRequest>(odd.as_bytes()).expect("readable").job.expect("a job").id(), "a");
    }

    #[test]
    fn a_large_honest_job_is_read() {
        let group = |i: usize| {
            serde_json::json!({"Name": format!("g{i}"), "Count": 3, "Tasks": [{
            "Name": "t", "Driver": "docker", "Config": {"image": "x:1", "args": ["-a", "-b"], "mount": [{"type": "bind"}]},
            "Env": {"A": "b", "C": "d"}, "Resources": {"CPU": 100, "MemoryMB": 64}, "Services": null, "Templates": null}]})
        };
        let groups: Vec<_> = (0..5000).map(group).collect();
        let body = serde_json::json!({"Job": {"ID": "big", "TaskGroups": groups}}).to_string();
        let request: JobRegisterRequest = decode(body.as_bytes()).expect("readable");
        assert_eq!(request.job.expect("a job").groups().len(), 5000);
    }
}
