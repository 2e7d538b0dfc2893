//! What a wire shape says of itself: the names and types of its fields, for readers that take less than all of it.
//!
//! `#[derive(Wire)]` beside serde's derives (and `Block`, for the Job tree) makes [`Wire::FIELDS`] of the one declaration. From it
//! come narrow shapes ([`crate::part!`]: a few fields, checked against the whole), and reading without any type ([`Light`]), for
//! code that has to stay small. Pure.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::Arc;

use serde::de::{DeserializeSeed, Deserializer, Error, Visitor};
use serde_json::Value;
pub use tarpan_model_derive::Wire;

use crate::duration::Dur;
use crate::ids::{AllocId, JobId, Namespace, NodeId};

/// A shape that stands on the wire as an object.
pub trait Wire {
    /// One [`Field`] a field, of the same name.
    type Fields: 'static;
    const FIELDS: Self::Fields;
}

/// A field of `W` that holds a `T`.
pub struct Field<W, T> {
    /// On the wire.
    pub name: &'static str,
    of: PhantomData<fn() -> (W, T)>,
}

impl<W, T> Field<W, T> {
    pub const fn new(name: &'static str) -> Self {
        Field { name, of: PhantomData }
    }

    /// Its name, where a `P` can be read from it; else this does not compile.
    pub const fn read_as<P: Reads<T>>(&self) -> &'static str {
        self.name
    }
}

impl<W, T> Clone for Field<W, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<W, T> Copy for Field<W, T> {}

/// Reads what was written as a `W`. `null` and what is missing read as the default, so that `T` reads `Option<T>` too.
pub trait Reads<W> {}

impl<W> Reads<W> for Value {}
impl<P: Reads<W>, W> Reads<Option<W>> for Option<P> {}
impl<P: Reads<W>, W> Reads<Vec<W>> for Vec<P> {}
impl<P: Reads<W>, W> Reads<Option<Vec<W>>> for Vec<P> {}
impl<P: Reads<W>, W> Reads<BTreeMap<String, W>> for BTreeMap<String, P> {}
impl<P: Reads<W>, W> Reads<Option<BTreeMap<String, W>>> for BTreeMap<String, P> {}

macro_rules! reads {
    ($($reader:ty: $($written:ty),+;)*) => {
        $($(
            impl Reads<$written> for $reader {}
            impl Reads<Option<$written>> for $reader {}
        )+)*
    };
}

reads! {
    String: String, Arc<str>, Namespace, JobId, NodeId, AllocId;
    bool: bool;
    i64: i64, u64, u16, Dur;
    u64: u64;
    f64: f64;
    Dur: Dur;
}

/// Which of `names` comes next in an object; `names.len()` for any other. One function for all narrow shapes.
#[doc(hidden)]
pub struct OneOf(pub &'static [&'static str]);

impl<'de> DeserializeSeed<'de> for OneOf {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<usize, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for OneOf {
    type Value = usize;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the name of a field")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<usize, E> {
        Ok(self.0.iter().position(|n| *n == name).unwrap_or(self.0.len()))
    }
}

/// Declares the part of a wire shape that a reader needs: `Part of Whole { field: Type, … }`, fields by the names that they have
/// in the whole, or `here = there: Type`. What they are called on the wire comes from the whole's declaration, and so does what may be
/// read from them: a `Type` that does not read what stands there does not compile. Unknown fields are skipped, `null` reads as the
/// default.
///
/// ```
/// use tarpan_model::job::{Job, TaskGroup};
/// tarpan_model::part! {
///     /// A group's size.
///     Size of TaskGroup { name: String, count: i64 }
///     Sizes of Job { id: String, groups = task_groups: Vec<Size> }
/// }
/// let text = r#"{"ID": "web", "Meta": {"a": "b"}, "TaskGroups": [{"Name": "g", "Count": 2, "Tasks": null}]}"#;
/// let read: Sizes = serde_json::from_str(text).unwrap();
/// assert_eq!((read.id.as_str(), read.groups[0].count), ("web", 2));
/// assert_eq!(serde_json::to_string(&read).unwrap(), r#"{"ID":"web","TaskGroups":[{"Name":"g","Count":2}]}"#);
/// ```
#[macro_export]
macro_rules! part {
    (@field $whole:ty, $field:ident) => { <$whole as $crate::wire::Wire>::FIELDS.$field };
    (@field $whole:ty, $field:ident, $there:ident) => { <$whole as $crate::wire::Wire>::FIELDS.$there };
    ($(
        $(#[$doc:meta])*
        $name:ident of $whole:ty { $( $(#[$field_doc:meta])* $field:ident $(= $there:ident)?: $ty:ty ),* $(,)? }
    )*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct $name {
            $( $(#[$field_doc])* pub $field: $ty, )*
        }

        impl $name {
            const NAMES: &'static [&'static str] =
                &[$( $crate::part!(@field $whole, $field $(, $there)?).read_as::<$ty>() ),*];
        }

        impl $crate::wire::Reads<$whole> for $name {}
        impl $crate::wire::Reads<Option<$whole>> for $name {}

        impl ::serde::Serialize for $name {
            fn serialize<S: ::serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                use ::serde::ser::SerializeStruct as _;
                let mut names = Self::NAMES.iter();
                let mut out = serializer.serialize_struct(stringify!($name), Self::NAMES.len())?;
                $( out.serialize_field(names.next().copied().unwrap_or_default(), &self.$field)?; )*
                out.end()
            }
        }

        impl<'de> ::serde::Deserialize<'de> for $name {
            fn deserialize<D: ::serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Fields;
                impl<'de> ::serde::de::Visitor<'de> for Fields {
                    type Value = $name;

                    fn expecting(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                        f.write_str(stringify!($name))
                    }

                    #[allow(unused_assignments)]
                    fn visit_map<A: ::serde::de::MapAccess<'de>>(self, mut map: A) -> Result<$name, A::Error> {
                        let mut made = $name::default();
                        while let Some(at) = map.next_key_seed($crate::wire::OneOf($name::NAMES))? {
                            let mut this = 0;
                            $(
                                if at == this {
                                    made.$field = map.next_value::<Option<$ty>>()?.unwrap_or_default();
                                    continue;
                                }
                                this += 1;
                            )*
                            map.next_value::<::serde::de::IgnoredAny>()?;
                        }
                        Ok(made)
                    }
                }
                deserializer.deserialize_map(Fields)
            }
        }
    )*};
}

/// A `W` as it came, of which a few fields are read: without a decoder of the whole, which code that a browser loads before anything
/// else has no room for. What is missing or of another kind reads as empty.
pub struct Light<'a, W>(&'a Value, PhantomData<fn() -> W>);

impl<W> Clone for Light<'_, W> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<W> Copy for Light<'_, W> {}

impl<'a, W> Light<'a, W> {
    pub fn of(value: &'a Value) -> Self {
        Light(value, PhantomData)
    }

    /// Whether there is an object.
    pub fn is_there(self) -> bool {
        self.0.is_object()
    }

    /// A text; empty where there is none.
    pub fn text(self, field: Field<W, String>) -> &'a str {
        self.0[field.name].as_str().unwrap_or_default()
    }

    pub fn count(self, field: Field<W, u64>) -> u64 {
        self.0[field.name].as_u64().unwrap_or_default()
    }

    pub fn float(self, field: Field<W, f64>) -> f64 {
        self.0[field.name].as_f64().unwrap_or_default()
    }

    /// An object that may be missing.
    pub fn inside<T>(self, field: Field<W, Option<T>>) -> Light<'a, T> {
        Light::of(&self.0[field.name])
    }

    /// The texts of a list.
    pub fn texts(self, field: Field<W, Vec<String>>) -> impl DoubleEndedIterator<Item = &'a str> {
        items(&self.0[field.name]).iter().map(|v| v.as_str().unwrap_or_default())
    }

    /// What an object holds by names, in their order.
    pub fn named<T>(self, field: Field<W, BTreeMap<String, T>>) -> impl Iterator<Item = (&'a String, Light<'a, T>)> {
        self.0[field.name].as_object().into_iter().flatten().map(|(name, value)| (name, Light::of(value)))
    }
}

impl<'a, T> Light<'a, Vec<T>> {
    /// The list as it came, to be read later by [`Light::of`].
    pub fn kept(self) -> Value {
        self.0.clone()
    }

    /// The objects of a list.
    pub fn items(self) -> impl Iterator<Item = Light<'a, T>> {
        items(self.0).iter().map(Light::of)
    }
}

impl Light<'_, f64> {
    /// The number, where there is one.
    pub fn number(self) -> Option<f64> {
        self.0.as_f64()
    }
}

fn items(list: &Value) -> &[Value] {
    list.as_array().map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{Job, PeriodicConfig, TaskGroup};
    use serde::{Deserialize, Serialize};
    use serde_json::json;

    #[derive(Default, Serialize, Deserialize, Wire)]
    #[serde(rename_all = "PascalCase", default)]
    struct Whole {
        #[serde(rename = "ID", skip_serializing_if = "String::is_empty")]
        id: String,
        some_count: u64,
        load: f64,
        tags: Vec<String>,
        inner: Option<Inner>,
        by_name: BTreeMap<String, Vec<Inner>>,
    }

    #[derive(Default, Serialize, Deserialize, Wire)]
    #[serde(default)]
    struct Inner {
        #[serde(rename = "Name")]
        name: String,
        plain: bool,
    }

    part! {
        Small of Whole { id: String, inner: InnerPart }
        InnerPart of Inner { name: String }
        Group of TaskGroup { name: String, count: i64 }
        Narrow of Job { id: String, task_groups: Vec<Group>, periodic: Option<PeriodicConfig>, submit_time: i64 }
    }

    #[test]
    fn names_are_those_that_serde_writes() {
        let whole = Whole { id: "a".into(), ..Whole::default() };
        let written = serde_json::to_value(&whole).expect("JSON");
        let names = written.as_object().expect("an object");
        let fields = Whole::FIELDS;
        let declared = [fields.id.name, fields.some_count.name, fields.load.name, fields.tags.name];
        assert!(declared.iter().chain([&fields.inner.name, &fields.by_name.name]).all(|n| names.contains_key(*n)));
        assert_eq!((names.len(), Inner::FIELDS.plain.name), (6, "plain"));
    }

    #[test]
    fn parts_take_what_they_name() {
        let text = r#"{"Load": [1, {}], "Inner": {"plain": 3, "Name": "x"}, "ID": "a", "New": null}"#;
        let read: Small = serde_json::from_str(text).expect("a part");
        assert_eq!(read, Small { id: "a".into(), inner: InnerPart { name: "x".into() } });
        let read: Small = serde_json::from_str(r#"{"ID": null, "Inner": null}"#).expect("nulls are fine");
        assert_eq!(read, Small::default());
        let job = r#"{"ID":"a","TaskGroups":[{"Name":"g","Count":2,"Tasks":null}],"Periodic":{"Enabled":true}}"#;
        let read: Narrow = serde_json::from_str(job).expect("a job");
        assert_eq!((read.task_groups[0].count, read.periodic.and_then(|p| p.enabled)), (2, Some(true)));
        assert_eq!(serde_json::to_value(Group::default()).expect("JSON"), json!({ "Name": "", "Count": 0 }));
    }

    #[test]
    fn what_is_missing_is_empty() {
        let value = json!({ "ID": "x", "SomeCount": 3, "Tags": ["a", 1], "Inner": {"Name": "n"},
            "ByName": {"b": [{"Name": "1"}], "a": null} });
        let fields = Whole::FIELDS;
        let light = Light::<Whole>::of(&value);
        assert_eq!((light.text(fields.id), light.count(fields.some_count)), ("x", 3));
        assert!(light.float(fields.load) == 0.0 && light.texts(fields.tags).eq(["a", ""]));
        assert_eq!(light.inside(fields.inner).text(Inner::FIELDS.name), "n");
        let by_name: Vec<_> = light.named(fields.by_name).map(|(n, list)| (n.as_str(), list.items().count())).collect();
        assert_eq!(by_name, [("a", 0), ("b", 1)]);
        let none = Light::<Whole>::of(&Value::Null);
        assert!(!none.is_there() && none.text(fields.id).is_empty() && !none.inside(fields.inner).is_there());
    }
}
