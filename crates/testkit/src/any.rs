//! Strategies: clusters and jobs that a cluster might be asked to run.

use proptest::prelude::*;
use tarpan_model::job::{Affinity, Constraint, Job, Spread};
use tarpan_model::schema::{Block, Free, SlotMut};
use tarpan_model::{Dur, Eligibility, Node, NodeStatus};

use crate::{jobs, nodes};

/// Up to `max` nodes of several sizes, datacenters and classes; most are ready.
pub fn cluster(max: usize) -> impl Strategy<Value = Vec<Node>> {
    prop::collection::vec((0..4_u8, 0..3_u8, 0..20_u8), 1..=max).prop_map(|shapes| {
        shapes.iter().enumerate().map(|(i, &(size, place, health))| node(i as u32, size, place, health)).collect()
    })
}

fn node(i: u32, size: u8, place: u8, health: u8) -> Node {
    let (cpu, memory) = [(1_000, 512), (2_000, 2_048), (4_000, 8_192), (16_000, 32_768)][usize::from(size)];
    let mut node = nodes::sized(i, cpu, memory);
    node.datacenter = format!("dc{}", place + 1).into();
    node.node_class = if size > 1 { "large".into() } else { "".into() };
    node.meta.insert("rack".into(), format!("r{}", i % 5).into());
    node.computed_class = format!("v1:{size}-{place}-{}", i % 5).into();
    match health {
        0 => node.status = NodeStatus::Down,
        1 => node.eligibility = Eligibility::Ineligible,
        _ => {}
    }
    node
}

/// A service or batch job called `id` of one or two groups, with constraints, affinities, spreads and ports at times.
pub fn job(id: &'static str) -> impl Strategy<Value = Job> {
    let group = (0..12_i64, prop::sample::select(vec![50_i64, 100, 500, 1_500]), 0..6_u8);
    (any::<bool>(), 1..100_i64, prop::collection::vec(group, 1..=2)).prop_map(move |(batch, priority, groups)| {
        let mut job = if batch { jobs::batch(id, 1) } else { jobs::service(id, 1) };
        job.priority = Some(priority);
        let template = jobs::group_mut(&mut job).clone();
        let groups = groups.into_iter().enumerate().map(|(i, (count, size, twist))| {
            let mut group = template.clone();
            group.name = Some(format!("group-{i}"));
            group.count = Some(count);
            group.tasks = Some(vec![jobs::task("task", size, size)]);
            match twist {
                0 => group.constraints = Some(vec![constraint("${node.datacenter}", "=", "dc1")]),
                1 => group.constraints = Some(vec![constraint("", "distinct_hosts", "")]),
                2 => group.affinities = Some(vec![affinity("${node.class}", "large", 50)]),
                3 => group.spreads = Some(vec![spread("${meta.rack}", 100)]),
                4 => group.networks = Some(vec![jobs::network(&[("http", 0), ("admin", 9_000 + i as i64)])]),
                _ => {}
            }
            group
        });
        job.task_groups = Some(groups.collect());
        job
    })
}

fn constraint(left: &str, operand: &str, right: &str) -> Constraint {
    Constraint { l_target: Some(left.to_owned()), r_target: Some(right.to_owned()), operand: Some(operand.to_owned()) }
}

fn affinity(left: &str, right: &str, weight: i64) -> Affinity {
    Affinity {
        l_target: Some(left.to_owned()),
        r_target: Some(right.to_owned()),
        operand: Some("=".to_owned()),
        weight: Some(weight),
    }
}

fn spread(attribute: &str, weight: i64) -> Spread {
    Spread { attribute: Some(attribute.to_owned()), weight: Some(weight), spread_target: Some(Vec::new()) }
}

/// A job with any field that a jobspec can name, values hostile to whoever writes them as text: quotes, holes, control
/// characters, keys that are no names. Not a valid job as a rule.
pub fn written_job() -> impl Strategy<Value = Job> {
    prop::collection::vec(any::<u32>(), 0..600).prop_map(|tape| {
        let mut tape = Tape { rest: tape.into_iter() };
        let mut job = Job { id: Some(tape.text()), ..Job::default() };
        tape.fill(&mut job, 0);
        job.type_ = Some(["service", "batch", "system", "sysbatch"][tape.below(4)].to_owned());
        job
    })
}

/// Numbers that decide what is drawn; after the last one nothing more is.
struct Tape {
    rest: std::vec::IntoIter<u32>,
}

impl Tape {
    /// Up to `bound`, more often 0 than not at the end.
    fn below(&mut self, bound: usize) -> usize {
        self.rest.next().unwrap_or(0) as usize % bound
    }

    fn text(&mut self) -> String {
        const PIECES: [&str; 28] = [
            "a",
            "web",
            "x-1",
            " ",
            "\n",
            "\n",
            "${attr.cpu.arch}",
            "${",
            "%{",
            "$",
            "%",
            "}",
            "\"",
            "\\",
            "\t",
            "\r\n",
            "\0",
            "\u{1b}",
            "é",
            "\u{202e}",
            "\u{1f980}",
            "EOF",
            "EOT",
            "<<EOF\n",
            "~",
            "${env[\"HOME\"]}",
            "#",
            "  ",
        ];
        (0..self.below(5)).map(|_| PIECES[self.below(PIECES.len())]).collect()
    }

    fn name(&mut self) -> String {
        ["a", "b_c", "image", "x-1", "if", "true", "é", "com.example/x", "${a}", "k k"][self.below(10)].to_owned()
    }

    fn number(&mut self) -> i64 {
        [1, 0, -1, 3, 80, 65_536, i64::MAX, i64::MIN + 1][self.below(8)]
    }

    fn json(&mut self, depth: usize) -> serde_json::Value {
        use serde_json::{Value, json};
        match self.below(if depth > 3 { 6 } else { 9 }) {
            0 | 1 => json!(self.text()),
            2 => json!(self.number()),
            3 => json!([0.5, -2.25, 1e300, 1e-9, 3.0e-300][self.below(5)]),
            4 => json!(true),
            5 => Value::Null,
            6 | 7 => (0..self.below(4)).map(|_| self.json(depth + 1)).collect(),
            _ => Value::Object((0..self.below(4)).map(|_| (self.name(), self.json(depth + 1))).collect()),
        }
    }

    /// Entries of a free block: names only, and no bare object, which reads as a list of it.
    fn free(&mut self) -> Free {
        let mut entries = std::collections::BTreeMap::new();
        for _ in 0..self.below(4) {
            let value = match self.json(0) {
                object @ serde_json::Value::Object(_) => serde_json::Value::Array(vec![object]),
                other => other,
            };
            entries.insert(["image", "args", "b_c", "x-1"][self.below(4)].to_owned(), value);
        }
        Free(entries)
    }

    /// Sets some of the fields that a jobspec can name.
    fn fill(&mut self, block: &mut dyn Block, depth: usize) {
        let schema = block.schema();
        for (index, field) in schema.fields.iter().enumerate() {
            let said = field.hcl.is_some() && !(schema.name == "Job" && field.json == "ID");
            if !field.label && (!said || self.below(3) != 1) {
                continue;
            }
            match block.slot_mut(index) {
                SlotMut::Str(place) => *place = Some(self.text()),
                SlotMut::Int(place) => *place = Some(self.number()),
                SlotMut::Uint(place) => *place = Some(self.number().unsigned_abs() / 2),
                SlotMut::Bool(place) => *place = Some(self.below(2) == 1),
                SlotMut::Duration(place) => {
                    *place = Some(Dur([0, 1, 1_500, 90_000_000_000, 3_600_000_000_000, -5, i64::MAX][self.below(7)]));
                }
                SlotMut::Strs(place) => *place = Some((0..self.below(4)).map(|_| self.text()).collect()),
                SlotMut::Ints(place) => *place = Some((0..self.below(4)).map(|_| self.number()).collect()),
                SlotMut::Map(place) => {
                    *place = Some((0..self.below(4)).map(|_| (self.name(), self.text())).collect());
                }
                SlotMut::Lists(place) => {
                    *place = Some((0..self.below(3)).map(|_| (self.name(), vec![self.text()])).collect());
                }
                SlotMut::Free(place) => *place = Some(self.free()),
                _ if depth > 7 => {}
                SlotMut::Block(place) => self.fill(place.get_or_insert(), depth + 1),
                SlotMut::Blocks(list) => (0..self.below(3)).for_each(|_| self.fill(list.push(), depth + 1)),
                SlotMut::Named(map) => {
                    for _ in 0..self.below(3) {
                        let label = self.text();
                        self.fill(map.entry(&label), depth + 1);
                    }
                }
            }
        }
    }
}
