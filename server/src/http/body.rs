//! Request bodies: JSON read as Go reads it (any case of names, unknown names ignored), with Go's words for bad syntax.

use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Error, Map, Value};

use super::error::ApiError;
use super::json_syntax;

/// The value of `body`. 400 when there is none or it can't be read.
pub fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Err(ApiError::bad_request("Request body is empty"));
    }
    if let Some(wrong) = json_syntax::check(body) {
        return Err(ApiError::bad_request(wrong));
    }
    let value: Value = serde_json::from_slice(body).map_err(|e| ApiError::bad_request(format!("json: {e}")))?;
    T::deserialize(AnyCase(value)).map_err(|e| ApiError::bad_request(format!("json: {e}")))
}

/// The same, and the default where there is no body.
pub fn decode_optional<T: DeserializeOwned + Default>(body: &[u8]) -> Result<T, ApiError> {
    if body.iter().all(u8::is_ascii_whitespace) { Ok(T::default()) } else { decode(body) }
}

/// A JSON value whose objects match the fields of a struct in any case.
struct AnyCase(Value);

impl<'de> Deserializer<'de> for AnyCase {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Object(map) => visitor.visit_map(Object::new(map, &[])),
            Value::Array(list) => visitor.visit_seq(List(list.into_iter())),
            scalar => scalar.deserialize_any(visitor),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.0 {
            Value::Object(map) => visitor.visit_map(Object::new(map, fields)),
            other => AnyCase(other).deserialize_any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.0.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.0.deserialize_enum(name, variants, visitor)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map identifier ignored_any
    }
}

struct List(std::vec::IntoIter<Value>);

impl<'de> SeqAccess<'de> for List {
    type Error = Error;
    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        self.0.next().map(|value| seed.deserialize(AnyCase(value))).transpose()
    }
}

struct Object {
    entries: serde_json::map::IntoIter,
    fields: &'static [&'static str],
    value: Value,
}

impl Object {
    fn new(map: Map<String, Value>, fields: &'static [&'static str]) -> Object {
        Object { entries: map.into_iter(), fields, value: Value::Null }
    }
}

impl<'de> MapAccess<'de> for Object {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let Some((key, value)) = self.entries.next() else { return Ok(None) };
        self.value = value;
        let field = self.fields.iter().find(|f| f.eq_ignore_ascii_case(&key));
        let key = field.map_or(key, |f| (*f).to_owned());
        seed.deserialize(IntoDeserializer::<Error>::into_deserializer(key)).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Error> {
        seed.deserialize(AnyCase(self.value.take()))
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
        let refused = |body: &[u8]| decode::<JobRegisterRequest>(body).expect_err("must not be read").message;
        assert_eq!(refused(b" \n"), "Request body is empty");
        assert_eq!(refused(b"{not json"), "invalid character 'n' looking for beginning of object key string");
        assert!(refused(br#"{"Job": 3}"#).starts_with("json: "));
        assert!(!decode_optional::<JobRegisterRequest>(b"").expect("empty is fine").enforce_index);
    }
}
