//! What the Job tree knows of itself: names, kinds, documentation, and access to any field by number.
//!
//! `#[derive(Block)]` spells each attribute once and writes a [`Schema`] beside the struct. Whoever walks the tree
//! without knowing it (HCL decoding, JSON, diffs, completion, hover) works on `dyn Block` through [`Slot`] and [`SlotMut`].
//! Start at [`Block`].

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{SerializeMap, SerializeSeq, Serializer};
use serde::{Deserialize, Serialize};

use crate::duration::Dur;

/// A block without a fixed schema (driver `config`, scaling `policy`): attribute name to value.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Free(pub BTreeMap<String, serde_json::Value>);

/// Attribute name to text, as in `env` and `meta`.
pub type TextMap = BTreeMap<String, String>;
/// Attribute name to list of texts, as in a check's `header`.
pub type ListMap = BTreeMap<String, Vec<String>>;

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Str,
    Int,
    Uint,
    Bool,
    Duration,
    Strs,
    Ints,
    Map,
    Lists,
    Free,
    Block,
    /// A repeatable block, a list on the wire.
    Blocks,
    /// A repeatable labelled block, a map from label to object on the wire.
    Named,
}

/// How servers show a field of a job that they hold, where that differs from what a client writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    Same,
    /// Its zero value where it is unset.
    Zero,
    /// `null` where it is unset, though clients leave it out.
    Null,
    /// Never.
    Absent,
    /// Only where it is neither unset nor zero.
    Given,
}

/// Whose JSON is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Client,
    Server,
}

impl Form {
    fn shows(self, field: &Field, slot: &Slot<'_>, readable: bool) -> bool {
        match (self, field.stored) {
            (Form::Server, Stored::Absent) => false,
            (Form::Server, Stored::Given) => !slot.is_zero(),
            (Form::Server, Stored::Null) => true,
            _ => !slot.is_none() || (readable && !field.omit),
        }
    }

    fn zero(self, field: &Field) -> bool {
        match (self, field.stored) {
            (Form::Server, Stored::Zero) => true,
            (Form::Server, Stored::Null) => false,
            _ => field.zero,
        }
    }
}

/// One attribute or block of a [`Schema`].
pub struct Field {
    /// Name of the field in the Rust struct, snake case.
    pub rust: &'static str,
    /// Name on the wire, as in `TaskGroups`.
    pub json: &'static str,
    /// Name in a jobspec; `None` for what only the API knows.
    pub hcl: Option<&'static str>,
    /// One or more sentences for hover and reference.
    pub doc: &'static str,
    /// Default in words, empty when there is none.
    pub default: &'static str,
    /// Unit of a number, empty when it has none.
    pub unit: &'static str,
    /// Permitted values, blank separated, empty when free.
    pub values: &'static str,
    /// Filled from the block's label.
    pub label: bool,
    /// Printed as its zero value rather than `null` when unset.
    pub zero: bool,
    /// Left out of JSON when unset.
    pub omit: bool,
    /// `${…}` in it is replaced on the node.
    pub interpolated: bool,
    pub stored: Stored,
    pub kind: Kind,
    /// Schema of the nested block, for the kinds `Block`, `Blocks` and `Named`.
    pub child: Option<&'static Schema>,
}

impl Field {
    /// Whether an unset value is shown as a zero one, so that the two say the same.
    pub fn shows_zero(&self) -> bool {
        Form::Client.zero(self) || Form::Server.zero(self)
    }
}

/// The attributes of one block type, in the order of the struct.
pub struct Schema {
    /// Name of the type on the wire, as in `TaskGroup`.
    pub name: &'static str,
    pub doc: &'static str,
    pub fields: &'static [Field],
}

impl Schema {
    /// The field that a jobspec calls `name`, with its number.
    pub fn by_hcl(&self, name: &str) -> Option<(usize, &'static Field)> {
        self.fields.iter().enumerate().find(|(_, f)| f.hcl == Some(name))
    }

    /// The field that JSON calls `name`: exact spelling first, then any case, as Go decodes.
    pub fn by_json(&self, name: &str) -> Option<(usize, &'static Field)> {
        let exact = self.fields.iter().position(|f| f.json == name);
        let index = exact.or_else(|| self.fields.iter().position(|f| f.json.eq_ignore_ascii_case(name)))?;
        Some((index, &self.fields[index]))
    }

    /// The field filled from the block's label.
    pub fn label(&self) -> Option<(usize, &'static Field)> {
        self.fields.iter().enumerate().find(|(_, f)| f.label)
    }
}

/// A block of the Job tree, seen without its type.
pub trait Block: Send + Sync + 'static {
    fn schema(&self) -> &'static Schema;
    /// The value of field `index` of [`Block::schema`]. Panics when there is no such field.
    fn slot(&self, index: usize) -> Slot<'_>;
    /// The place of field `index`. Panics when there is no such field.
    fn slot_mut(&mut self, index: usize) -> SlotMut<'_>;
}

/// The schema of a type that is known.
pub trait StaticBlock: Block + Default {
    const SCHEMA: &'static Schema;
}

/// A field's value; `None` where the user left it out.
pub enum Slot<'a> {
    Str(Option<&'a str>),
    Int(Option<i64>),
    Uint(Option<u64>),
    Bool(Option<bool>),
    Duration(Option<Dur>),
    Strs(Option<&'a [String]>),
    Ints(Option<&'a [i64]>),
    Map(Option<&'a TextMap>),
    Lists(Option<&'a ListMap>),
    Free(Option<&'a Free>),
    Block(Option<&'a dyn Block>),
    Blocks(Option<&'a dyn BlockList>),
    Named(Option<&'a dyn BlockMap>),
}

/// The place where a field's value goes.
pub enum SlotMut<'a> {
    Str(&'a mut Option<String>),
    Int(&'a mut Option<i64>),
    Uint(&'a mut Option<u64>),
    Bool(&'a mut Option<bool>),
    Duration(&'a mut Option<Dur>),
    Strs(&'a mut Option<Vec<String>>),
    Ints(&'a mut Option<Vec<i64>>),
    Map(&'a mut Option<TextMap>),
    Lists(&'a mut Option<ListMap>),
    Free(&'a mut Option<Free>),
    Block(&'a mut dyn BlockSlot),
    Blocks(&'a mut dyn BlockListSlot),
    Named(&'a mut dyn BlockMapSlot),
}

impl Slot<'_> {
    /// Unset, or what an unset one stands for.
    pub fn is_zero(&self) -> bool {
        match self {
            Slot::Str(v) => v.is_none_or(str::is_empty),
            Slot::Int(v) => v.is_none_or(|n| n == 0),
            Slot::Uint(v) => v.is_none_or(|n| n == 0),
            Slot::Bool(v) => *v != Some(true),
            Slot::Duration(v) => v.is_none_or(|d| d == Dur::ZERO),
            Slot::Strs(v) => v.is_none_or(<[String]>::is_empty),
            Slot::Ints(v) => v.is_none_or(<[i64]>::is_empty),
            Slot::Map(v) => v.is_none_or(TextMap::is_empty),
            Slot::Lists(v) => v.is_none_or(ListMap::is_empty),
            Slot::Blocks(v) => v.is_none_or(BlockList::is_empty),
            Slot::Free(_) | Slot::Block(_) | Slot::Named(_) => self.is_none(),
        }
    }

    pub fn is_none(&self) -> bool {
        match self {
            Slot::Str(v) => v.is_none(),
            Slot::Int(v) => v.is_none(),
            Slot::Uint(v) => v.is_none(),
            Slot::Bool(v) => v.is_none(),
            Slot::Duration(v) => v.is_none(),
            Slot::Strs(v) => v.is_none(),
            Slot::Ints(v) => v.is_none(),
            Slot::Map(v) => v.is_none(),
            Slot::Lists(v) => v.is_none(),
            Slot::Free(v) => v.is_none(),
            Slot::Block(v) => v.is_none(),
            Slot::Blocks(v) => v.is_none(),
            Slot::Named(v) => v.is_none(),
        }
    }
}

/// A list of blocks, read without its type.
pub trait BlockList: Send + Sync {
    fn len(&self) -> usize;
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    fn get(&self, index: usize) -> &dyn Block;
}

/// Blocks by label, read without their type, in label order.
pub trait BlockMap: Send + Sync {
    fn entries(&self) -> Vec<(&str, &dyn Block)>;
}

/// The place of a single block.
pub trait BlockSlot {
    /// The block that is there, or a new empty one put there.
    fn get_or_insert(&mut self) -> &mut dyn Block;
    fn is_some(&self) -> bool;
    fn clear(&mut self);
}

/// The place of a repeatable block.
pub trait BlockListSlot {
    /// Makes the list present, even when it stays empty.
    fn touch(&mut self);
    /// Appends an empty block.
    fn push(&mut self) -> &mut dyn Block;
    fn get_mut(&mut self, index: usize) -> Option<&mut dyn Block>;
    fn clear(&mut self);
}

/// The place of a repeatable block that is a map on the wire.
pub trait BlockMapSlot {
    fn touch(&mut self);
    /// The block with this label, made when it is not there.
    fn entry(&mut self, label: &str) -> &mut dyn Block;
    fn contains(&self, label: &str) -> bool;
    fn clear(&mut self);
}

/// Ties a field's Rust type to its [`Kind`]; the derive reads the kind from the type, not from its spelling.
pub trait FieldType {
    const KIND: Kind;
    const CHILD: Option<&'static Schema> = None;
    fn slot(&self) -> Slot<'_>;
    fn slot_mut(&mut self) -> SlotMut<'_>;
}

macro_rules! field_type {
    ($type:ty, $kind:ident, $read:expr) => {
        impl FieldType for Option<$type> {
            const KIND: Kind = Kind::$kind;
            fn slot(&self) -> Slot<'_> {
                let read: fn(&Self) -> Slot<'_> = $read;
                read(self)
            }
            fn slot_mut(&mut self) -> SlotMut<'_> {
                SlotMut::$kind(self)
            }
        }
    };
}
field_type!(String, Str, |v| Slot::Str(v.as_deref()));
field_type!(i64, Int, |v| Slot::Int(*v));
field_type!(u64, Uint, |v| Slot::Uint(*v));
field_type!(bool, Bool, |v| Slot::Bool(*v));
field_type!(Dur, Duration, |v| Slot::Duration(*v));
field_type!(Vec<String>, Strs, |v| Slot::Strs(v.as_deref()));
field_type!(Vec<i64>, Ints, |v| Slot::Ints(v.as_deref()));
field_type!(TextMap, Map, |v| Slot::Map(v.as_ref()));
field_type!(ListMap, Lists, |v| Slot::Lists(v.as_ref()));
field_type!(Free, Free, |v| Slot::Free(v.as_ref()));

impl<B: StaticBlock> FieldType for Option<B> {
    const KIND: Kind = Kind::Block;
    const CHILD: Option<&'static Schema> = Some(B::SCHEMA);
    fn slot(&self) -> Slot<'_> {
        Slot::Block(self.as_ref().map(|b| b as &dyn Block))
    }
    fn slot_mut(&mut self) -> SlotMut<'_> {
        SlotMut::Block(self)
    }
}

impl<B: StaticBlock> FieldType for Option<Vec<B>> {
    const KIND: Kind = Kind::Blocks;
    const CHILD: Option<&'static Schema> = Some(B::SCHEMA);
    fn slot(&self) -> Slot<'_> {
        Slot::Blocks(self.as_ref().map(|b| b as &dyn BlockList))
    }
    fn slot_mut(&mut self) -> SlotMut<'_> {
        SlotMut::Blocks(self)
    }
}

impl<B: StaticBlock> FieldType for Option<BTreeMap<String, B>> {
    const KIND: Kind = Kind::Named;
    const CHILD: Option<&'static Schema> = Some(B::SCHEMA);
    fn slot(&self) -> Slot<'_> {
        Slot::Named(self.as_ref().map(|b| b as &dyn BlockMap))
    }
    fn slot_mut(&mut self) -> SlotMut<'_> {
        SlotMut::Named(self)
    }
}

impl<B: StaticBlock> BlockList for Vec<B> {
    fn len(&self) -> usize {
        Vec::len(self)
    }
    fn get(&self, index: usize) -> &dyn Block {
        &self[index]
    }
}

impl<B: StaticBlock> BlockMap for BTreeMap<String, B> {
    fn entries(&self) -> Vec<(&str, &dyn Block)> {
        self.iter().map(|(k, v)| (k.as_str(), v as &dyn Block)).collect()
    }
}

impl<B: StaticBlock> BlockSlot for Option<B> {
    fn get_or_insert(&mut self) -> &mut dyn Block {
        self.get_or_insert_with(B::default)
    }
    fn is_some(&self) -> bool {
        Option::is_some(self)
    }
    fn clear(&mut self) {
        *self = None;
    }
}

impl<B: StaticBlock> BlockListSlot for Option<Vec<B>> {
    fn touch(&mut self) {
        self.get_or_insert_with(Vec::new);
    }
    fn push(&mut self) -> &mut dyn Block {
        let list = self.get_or_insert_with(Vec::new);
        list.push(B::default());
        list.last_mut().expect("just pushed")
    }
    fn get_mut(&mut self, index: usize) -> Option<&mut dyn Block> {
        self.as_mut()?.get_mut(index).map(|b| b as &mut dyn Block)
    }
    fn clear(&mut self) {
        *self = None;
    }
}

impl<B: StaticBlock> BlockMapSlot for Option<BTreeMap<String, B>> {
    fn touch(&mut self) {
        self.get_or_insert_with(BTreeMap::new);
    }
    fn entry(&mut self, label: &str) -> &mut dyn Block {
        self.get_or_insert_with(BTreeMap::new).entry(label.to_owned()).or_default()
    }
    fn contains(&self, label: &str) -> bool {
        self.as_ref().is_some_and(|m| m.contains_key(label))
    }
    fn clear(&mut self) {
        *self = None;
    }
}

/// Writes a block as a map of its wire names. JSON shows every field (`null` or zero where unset); compact formats
/// leave unset fields out, and [`deserialize`] takes both.
pub fn serialize<S: Serializer>(block: &dyn Block, serializer: S) -> Result<S::Ok, S::Error> {
    serialize_in(Form::Client, block, serializer)
}

/// Writes a block as servers show what they hold: see [`Stored`].
pub fn serialize_stored<S: Serializer>(block: &dyn Block, serializer: S) -> Result<S::Ok, S::Error> {
    serialize_in(Form::Server, block, serializer)
}

fn serialize_in<S: Serializer>(form: Form, block: &dyn Block, serializer: S) -> Result<S::Ok, S::Error> {
    let fields = block.schema().fields;
    let readable = serializer.is_human_readable();
    let shown = |i: &usize| form.shows(&fields[*i], &block.slot(*i), readable);
    let count = (0..fields.len()).filter(shown).count();
    let mut map = serializer.serialize_map(Some(count))?;
    for (index, field) in fields.iter().enumerate() {
        if shown(&index) {
            map.serialize_entry(field.json, &Shown { slot: block.slot(index), zero: form.zero(field), form })?;
        }
    }
    map.end()
}

struct Shown<'a> {
    slot: Slot<'a>,
    zero: bool,
    form: Form,
}

struct ShownBlock<'a>(&'a dyn Block, Form);

impl Serialize for ShownBlock<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize_in(self.1, self.0, serializer)
    }
}

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        if self.slot.is_none() {
            return if self.zero { serialize_zero(&self.slot, s) } else { s.serialize_none() };
        }
        match &self.slot {
            Slot::Str(v) => v.serialize(s),
            Slot::Int(v) => v.serialize(s),
            Slot::Uint(v) => v.serialize(s),
            Slot::Bool(v) => v.serialize(s),
            Slot::Duration(v) => v.serialize(s),
            Slot::Strs(v) => v.serialize(s),
            Slot::Ints(v) => v.serialize(s),
            Slot::Map(v) => v.serialize(s),
            Slot::Lists(v) => v.serialize(s),
            Slot::Free(v) => v.serialize(s),
            Slot::Block(v) => v.map(|block| ShownBlock(block, self.form)).serialize(s),
            Slot::Blocks(v) => {
                let list = v.expect("checked above");
                let mut seq = s.serialize_seq(Some(list.len()))?;
                for i in 0..list.len() {
                    seq.serialize_element(&ShownBlock(list.get(i), self.form))?;
                }
                seq.end()
            }
            Slot::Named(v) => {
                let entries = v.expect("checked above").entries();
                let mut map = s.serialize_map(Some(entries.len()))?;
                for (label, block) in entries {
                    map.serialize_entry(label, &ShownBlock(block, self.form))?;
                }
                map.end()
            }
        }
    }
}

fn serialize_zero<S: Serializer>(slot: &Slot<'_>, s: S) -> Result<S::Ok, S::Error> {
    match slot {
        Slot::Str(_) => s.serialize_str(""),
        Slot::Int(_) => s.serialize_i64(0),
        Slot::Uint(_) => s.serialize_u64(0),
        Slot::Bool(_) => s.serialize_bool(false),
        Slot::Duration(_) => s.serialize_i64(0),
        Slot::Strs(_) | Slot::Ints(_) | Slot::Blocks(_) => s.serialize_seq(Some(0))?.end(),
        Slot::Map(_) | Slot::Lists(_) | Slot::Free(_) | Slot::Named(_) => s.serialize_map(Some(0))?.end(),
        Slot::Block(_) => s.serialize_none(),
    }
}

/// Reads a block from a map of wire names. Unknown names are ignored; case does not matter; `null` leaves a field unset.
pub fn deserialize<'de, B: StaticBlock, D: Deserializer<'de>>(deserializer: D) -> Result<B, D::Error> {
    let mut block = B::default();
    BlockSeed(&mut block).deserialize(deserializer)?;
    Ok(block)
}

struct BlockSeed<'a>(&'a mut dyn Block);

impl<'de> DeserializeSeed<'de> for BlockSeed<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<(), D::Error> {
        d.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for BlockSeed<'_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object ({})", self.0.schema().name)
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<Cow<'_, str>>()? {
            match self.0.schema().by_json(&key) {
                Some((index, _)) => map.next_value_seed(SlotSeed(self.0.slot_mut(index)))?,
                None => {
                    map.next_value::<serde::de::IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

struct SlotSeed<'a>(SlotMut<'a>);

impl<'de> DeserializeSeed<'de> for SlotSeed<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<(), D::Error> {
        match self.0 {
            SlotMut::Str(v) => *v = Deserialize::deserialize(d)?,
            SlotMut::Int(v) => *v = Deserialize::deserialize(d)?,
            SlotMut::Uint(v) => *v = Deserialize::deserialize(d)?,
            SlotMut::Bool(v) => *v = Deserialize::deserialize(d)?,
            SlotMut::Duration(v) => *v = Deserialize::deserialize(d)?,
            SlotMut::Strs(v) => *v = Deserialize::deserialize(d)?,
            SlotMut::Ints(v) => *v = Deserialize::deserialize(d)?,
            SlotMut::Map(v) => *v = Deserialize::deserialize(d)?,
            SlotMut::Lists(v) => *v = Deserialize::deserialize(d)?,
            SlotMut::Free(v) => *v = Deserialize::deserialize(d)?,
            SlotMut::Block(v) => d.deserialize_option(Nullable(BlockHolder(v)))?,
            SlotMut::Blocks(v) => d.deserialize_option(Nullable(ListHolder(v)))?,
            SlotMut::Named(v) => d.deserialize_option(Nullable(MapHolder(v)))?,
        }
        Ok(())
    }
}

/// Takes `null` as "leave it out", anything else as the inner seed does.
struct Nullable<T>(T);

impl<'de, T: DeserializeSeed<'de, Value = ()> + Clear> Visitor<'de> for Nullable<T> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("null or a value")
    }
    fn visit_none<E: serde::de::Error>(mut self) -> Result<(), E> {
        self.0.clear();
        Ok(())
    }
    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        self.visit_none()
    }
    fn visit_some<D: Deserializer<'de>>(self, d: D) -> Result<(), D::Error> {
        self.0.deserialize(d)
    }
}

trait Clear {
    fn clear(&mut self);
}

struct BlockHolder<'a>(&'a mut dyn BlockSlot);
struct ListHolder<'a>(&'a mut dyn BlockListSlot);
struct MapHolder<'a>(&'a mut dyn BlockMapSlot);

impl Clear for BlockHolder<'_> {
    fn clear(&mut self) {
        self.0.clear();
    }
}
impl Clear for ListHolder<'_> {
    fn clear(&mut self) {
        self.0.clear();
    }
}
impl Clear for MapHolder<'_> {
    fn clear(&mut self) {
        self.0.clear();
    }
}

impl<'de> DeserializeSeed<'de> for BlockHolder<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<(), D::Error> {
        BlockSeed(self.0.get_or_insert()).deserialize(d)
    }
}

impl<'de> DeserializeSeed<'de> for ListHolder<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<(), D::Error> {
        d.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for ListHolder<'_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of objects")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        self.0.clear();
        self.0.touch();
        while seq.next_element_seed(Pushed(self.0))?.is_some() {}
        Ok(())
    }
}

/// Appends a block only once there is an element for it.
struct Pushed<'a>(&'a mut dyn BlockListSlot);

impl<'de> DeserializeSeed<'de> for Pushed<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<(), D::Error> {
        BlockSeed(self.0.push()).deserialize(d)
    }
}

impl<'de> DeserializeSeed<'de> for MapHolder<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<(), D::Error> {
        d.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for MapHolder<'_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of objects")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        self.0.clear();
        self.0.touch();
        while let Some(label) = map.next_key::<String>()? {
            map.next_value_seed(BlockSeed(self.0.entry(&label)))?;
        }
        Ok(())
    }
}
