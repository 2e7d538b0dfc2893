//! What the declaration of a table becomes.

use std::ops::Deref;
use std::sync::Arc;

use imbl::OrdSet;
use tarpan_model::ids::{AllocId, DeploymentId, EvalId, NamespacedId};
use tarpan_model::service::ServiceRegistration;
use tarpan_model::{Allocation, Deployment, Evaluation, Job};

use super::{Change, ServiceKey, Table, Tables};

/// What can be read by everybody in this crate and written by the tables' own code alone: who writes a row goes through
/// [`Declared`], and nothing that belongs to it is forgotten.
#[derive(Clone, Debug, Default)]
pub(crate) struct Held<T>(pub(super) T);

impl<T> Deref for Held<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// A declared table, for code that is the same for all of them. Its types are in [`super::table`].
pub(crate) trait Declared {
    type Key: Clone + Ord;
    type Row;
    const TABLE: Table;

    /// Puts a row there, with what finds it; gives the one before.
    fn put(tables: &mut Tables, key: Self::Key, row: Arc<Self::Row>) -> Option<Arc<Self::Row>>;

    /// Takes a row away, with what found it.
    fn take(tables: &mut Tables, key: &Self::Key) -> Option<Arc<Self::Row>>;

    /// What an event says of it; `None`: the table has no topic.
    fn change(row: Arc<Self::Row>, gone: bool) -> Option<Change>;
}

/// A declared value that there is one of.
pub(crate) trait Setting {
    type Value;
    const TABLE: Table;

    fn put(tables: &mut Tables, value: Self::Value);
}

/// Who puts rows back: those of which more has to be known than what they say.
pub(crate) trait Restores {
    fn tables(&mut self) -> &mut Tables;
    fn job(&mut self, row: Job) -> (NamespacedId, Arc<Job>);
    fn eval(&mut self, row: Evaluation) -> (EvalId, Arc<Evaluation>);
    fn alloc(&mut self, row: Allocation) -> (AllocId, Arc<Allocation>);
    fn deployment(&mut self, row: Deployment) -> (DeploymentId, Arc<Deployment>);
    fn service(&mut self, row: ServiceRegistration) -> (ServiceKey, Arc<ServiceRegistration>);
}

/// Has a row found by what it says now, and no longer by what it said.
pub(super) fn refile<B: Clone + Ord, K: Clone + Ord>(
    set: &mut Held<OrdSet<(B, K)>>,
    key: &K,
    was: Option<B>,
    is: Option<B>,
) {
    if was == is {
        return;
    }
    if let Some(was) = was {
        set.0.remove(&(was, key.clone()));
    }
    if let Some(is) = is {
        set.0.insert((is, key.clone()));
    }
}

/// Makes everything of the declared tables that follows from their entries; [`super`] says what these are.
macro_rules! declare {
    (
        tables { $(
            $(#[$doc:meta])*
            $Table:ident in $field:ident: $Key:ty => $Row:ty {
                found: [$($set:ident: $By:ty = $by:expr),* $(,)?],
                topic: [$($Topic:ident { $($Watch:ident($On:ty) = $on:expr),* $(,)? })?],
                kept: $Kept:ty = $written:expr,
                restored: $restored:expr,
            }
        )* }
        settings { $( $Setting:ident in $value:ident: $Value:ty, )* }
    ) => {
        /// A table, for "the last raft index that changed it".
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Table {
            $( $(#[$doc])* $Table, )*
            $( $Setting, )*
        }

        impl Table {
            pub const ALL: [Table; [$(stringify!($Table),)* $(stringify!($Setting),)*].len()] =
                [$(Table::$Table,)* $(Table::$Setting,)*];

            pub fn name(self) -> &'static str {
                match self {
                    $( Table::$Table => stringify!($Table), )*
                    $( Table::$Setting => stringify!($Setting), )*
                }
            }
        }

        /// Topics of the event stream: the wire's names.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Topic {
            $( $( $Topic, )? )*
        }

        impl Topic {
            pub fn name(self) -> &'static str {
                match self {
                    $( $( Topic::$Topic => stringify!($Topic), )? )*
                }
            }
        }

        /// A row as it is now or, `gone`, as it was last.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Change {
            $( $( $Topic { row: Arc<$Row>, gone: bool }, )? )*
        }

        impl Change {
            pub fn topic(&self) -> Topic {
                match self {
                    $( $( Change::$Topic { .. } => Topic::$Topic, )? )*
                }
            }

            pub fn gone(&self) -> bool {
                match self {
                    $( $( Change::$Topic { gone, .. } => *gone, )? )*
                }
            }

            /// What of one row may have been waited for; its table aside.
            pub fn watches(&self, mut found: impl FnMut(Watch)) {
                match self {
                    $( $( Change::$Topic { row, .. } => {
                        $( let on: fn(&$Row) -> $On = $on;
                        found(Watch::$Watch(on(row))); )*
                    } )? )*
                }
            }
        }

        /// Something whose change may be waited for.
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Watch {
            Table(Table),
            $( $( $( $Watch($On), )* )? )*
        }

        /// Rows by key, and what finds them.
        #[derive(Clone, Debug, Default)]
        pub(crate) struct Tables {
            $(
                pub(crate) $field: Held<OrdMap<$Key, Arc<$Row>>>,
                $( pub(crate) $set: Held<OrdSet<($By, $Key)>>, )*
            )*
            $( pub(crate) $value: Held<Arc<$Value>>, )*
        }

        /// The tables as types: what [`Declared`] and [`Setting`] are said of.
        pub(crate) mod table {
            $( pub(crate) struct $Table; )*
            $( pub(crate) struct $Setting; )*
        }

        $( impl Declared for table::$Table {
            type Key = $Key;
            type Row = $Row;
            const TABLE: Table = Table::$Table;

            fn put(tables: &mut Tables, key: $Key, row: Arc<$Row>) -> Option<Arc<$Row>> {
                let old = tables.$field.0.insert(key.clone(), row.clone());
                $(
                    let by: fn(&$Row) -> Option<$By> = $by;
                    refile(&mut tables.$set, &key, old.as_deref().and_then(by), by(&row));
                )*
                old
            }

            fn take(tables: &mut Tables, key: &$Key) -> Option<Arc<$Row>> {
                let old = tables.$field.0.remove(key)?;
                $(
                    let by: fn(&$Row) -> Option<$By> = $by;
                    refile(&mut tables.$set, key, by(&old), None);
                )*
                Some(old)
            }

            #[allow(unused_variables, unreachable_code)]
            fn change(row: Arc<$Row>, gone: bool) -> Option<Change> {
                $( return Some(Change::$Topic { row, gone }); )?
                None
            }
        } )*

        $( impl Setting for table::$Setting {
            type Value = $Value;
            const TABLE: Table = Table::$Setting;

            fn put(tables: &mut Tables, value: $Value) {
                tables.$value.0 = Arc::new(value);
            }
        } )*

        impl Tables {
            /// Parts of a snapshot that the tables are.
            pub(crate) const PARTS: usize = Table::ALL.len();

            /// Writes each table as a part of a snapshot.
            #[allow(clippy::map_identity, reason = "pairs are written as they are")]
            pub(crate) fn write<S: serde::ser::SerializeStruct>(&self, parts: &mut S) -> Result<(), S::Error> {
                $( parts.serialize_field(stringify!($field), &self.$field.iter().map($written).collect::<Vec<_>>())?; )*
                $( parts.serialize_field(stringify!($value), &**self.$value)?; )*
                Ok(())
            }
        }

        /// The tables as a snapshot has them. A part that is not there is an empty table: earlier releases did not have it.
        #[derive(Default)]
        pub(crate) struct Kept {
            $( $field: Vec<$Kept>, )*
            $( $value: $Value, )*
        }

        impl Kept {
            /// Reads the part called `name`; `false`: no table is.
            pub(crate) fn read<'de, M: serde::de::MapAccess<'de>>(
                &mut self,
                name: &str,
                parts: &mut M,
            ) -> Result<bool, M::Error> {
                $( if name == stringify!($field) {
                    self.$field = parts.next_value()?;
                    return Ok(true);
                } )*
                $( if name == stringify!($value) {
                    self.$value = parts.next_value()?;
                    return Ok(true);
                } )*
                Ok(false)
            }

            /// Puts all rows back, table by table.
            pub(crate) fn restore<R: Restores>(self, into: &mut R) {
                $(
                    let restored: fn(&mut R, $Kept) -> ($Key, Arc<$Row>) = $restored;
                    for row in self.$field {
                        let (key, row) = restored(into, row);
                        table::$Table::put(into.tables(), key, row);
                    }
                )*
                $( table::$Setting::put(into.tables(), self.$value); )*
            }
        }
    };
}
pub(super) use declare;
