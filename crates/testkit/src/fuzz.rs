//! A small fuzzer for what reads foreign bytes: mutates a corpus that is kept beside the tests.
//!
//! A check is a function of an input that panics where something is wrong, and says what shape the outcome had (the sentence of
//! a refusal, say). Shapes stand in for coverage: an input whose outcome nothing had before is kept and mutated in turn. Every
//! run begins with the whole corpus. Then `cargo test` tries a fixed number of inputs, the same ones each time;
//! `TARPAN_FUZZ_SECONDS=n` goes on for n seconds from another start, and writes what is worth keeping to the corpus.
//! An input that fails is printed and written there too, so that it is tried for ever after. So is one that ends the process (a
//! stack that is full): the long form writes each input down as `running` before it is tried, and the next run begins with it.
//!
//! Start at [`Fuzz`].

use std::collections::HashSet;
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{Seek, Write};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

/// Inputs of an ordinary run; fewer when they take long.
const ROUNDS: u64 = 3_000;
const SHORT: Duration = Duration::from_secs(4);
/// Inputs that are mutated further.
const POOL: usize = 1_000;
/// What a corpus grows to: this many inputs of at most this many bytes each.
const KEPT: usize = 32;
const KEPT_BYTES: usize = 400;
/// How often the long form says how far it is.
const PROGRESS: Duration = Duration::from_secs(20);
/// The input that is being tried: it stays when the process ends with it.
const RUNNING: &str = "running";
/// What looks like a byte or a number with a meaning to some parser.
const ODD: &[u8] = b"\0\n\r\t \"'`\\/{}[]()<>:;,.=!?*+-_%$#@&|~^0189aAzZ\x7f\x80\xbf\xc3\xff";
const NUMBERS: &[&str] =
    &["0", "-1", "1e400", "9223372036854775808", "18446744073709551616", "0.1", "00", "1e-9", "65536"];

/// One parser and what it is given.
pub struct Fuzz {
    name: &'static str,
    corpus: PathBuf,
    words: Vec<Vec<u8>>,
    seeds: Vec<Vec<u8>>,
    longest: usize,
    limit: Duration,
}

impl Fuzz {
    /// `crate_dir` is the caller's `CARGO_MANIFEST_DIR`; the corpus lies below it, in `corpus/<name>`.
    pub fn new(crate_dir: &str, name: &'static str) -> Fuzz {
        let corpus = [crate_dir, "corpus", name].iter().collect();
        let (words, seeds) = (Vec::new(), Vec::new());
        Fuzz { name, corpus, words, seeds, longest: 2_000, limit: Duration::from_secs(1) }
    }

    /// Pieces of the language, so that inputs get further than the first byte.
    pub fn words(mut self, words: &[&str]) -> Fuzz {
        self.words.extend(words.iter().map(|w| w.as_bytes().to_vec()));
        self
    }

    /// Inputs to begin with.
    pub fn seeds<S: AsRef<[u8]>>(mut self, seeds: impl IntoIterator<Item = S>) -> Fuzz {
        self.seeds.extend(seeds.into_iter().map(|s| s.as_ref().to_vec()));
        self
    }

    /// The most bytes of an input.
    pub fn longest(mut self, bytes: usize) -> Fuzz {
        self.longest = bytes;
        self
    }

    /// How long one input may take.
    pub fn limit(mut self, limit: Duration) -> Fuzz {
        self.limit = limit;
        self
    }

    pub fn texts(self, check: impl Fn(&str) -> String) {
        self.bytes(|bytes| check(&String::from_utf8_lossy(bytes)));
    }

    #[allow(clippy::disallowed_methods, reason = "where a long run begins, another each time")]
    pub fn bytes(self, check: impl Fn(&[u8]) -> String) {
        let long = std::env::var("TARPAN_FUZZ_SECONDS").ok().and_then(|n| n.parse().ok()).map(Duration::from_secs);
        let seed = long.map_or(0, |_| SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_nanos() as u64);
        let mut run = Run {
            random: Random(seed),
            pool: Vec::new(),
            shapes: HashSet::new(),
            keep: long.is_some(),
            running: None,
            tried: 0,
            fuzz: self,
        };
        run.replay(&check);
        run.running = long.and_then(|_| Running::new(&run.fuzz.corpus));
        let (begin, lasts) = (Instant::now(), long.unwrap_or(SHORT));
        let mut said = Duration::ZERO;
        while begin.elapsed() < lasts && (long.is_some() || run.tried < ROUNDS) {
            let input = run.input();
            run.try_out(input, &check);
            if long.is_some() && begin.elapsed() >= said + PROGRESS {
                said = begin.elapsed();
                eprintln!("  {} after {} s: {} inputs", run.fuzz.name, said.as_secs(), run.tried);
            }
        }
        if long.is_some() {
            let (name, tried, shapes) = (run.fuzz.name, run.tried, run.shapes.len());
            println!(
                "{name}: {tried} inputs, {shapes} shapes, {:.1} s of processor time, seed {seed}",
                processor_time()
            );
        }
    }
}

/// Where an input is written down before it is tried.
struct Running {
    path: PathBuf,
    file: File,
}

impl Running {
    /// `None` where nothing can be written: then it goes without.
    fn new(corpus: &Path) -> Option<Running> {
        let path = corpus.join(RUNNING);
        std::fs::create_dir_all(corpus).ok()?;
        let file = File::create(&path).ok()?;
        Some(Running { path, file })
    }

    fn note(&mut self, input: &[u8]) {
        let written = self.file.rewind().and_then(|()| self.file.write_all(input));
        let _ = written.and_then(|()| self.file.set_len(input.len() as u64));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

struct Run {
    fuzz: Fuzz,
    random: Random,
    pool: Vec<Vec<u8>>,
    shapes: HashSet<u64>,
    keep: bool,
    running: Option<Running>,
    tried: u64,
}

impl Run {
    /// The corpus in the order of its names, then the seeds.
    fn replay(&mut self, check: &dyn Fn(&[u8]) -> String) {
        let files = std::fs::read_dir(&self.fuzz.corpus).into_iter().flatten().flatten();
        let mut files: Vec<PathBuf> = files.map(|f| f.path()).collect();
        files.sort();
        let kept = files.iter().map(|f| std::fs::read(f).expect("a file of the corpus"));
        let inputs: Vec<Vec<u8>> = kept.chain(std::mem::take(&mut self.fuzz.seeds)).collect();
        let keep = std::mem::replace(&mut self.keep, false);
        for input in inputs {
            self.try_out(input.clone(), check);
            self.pool.push(input);
        }
        self.keep = keep;
        if self.pool.is_empty() {
            self.pool.push(Vec::new());
        }
    }

    fn try_out(&mut self, input: Vec<u8>, check: &dyn Fn(&[u8]) -> String) {
        self.tried += 1;
        if let Some(running) = &mut self.running {
            running.note(&input);
        }
        let begin = Instant::now();
        let done = catch_unwind(AssertUnwindSafe(|| check(&input)));
        let took = begin.elapsed();
        let shape = match done {
            Ok(shape) => shape,
            Err(panic) => {
                let kept = self.write(&input, "found-");
                eprintln!(
                    "{} fails on {:?}\nkept as {}",
                    self.fuzz.name,
                    String::from_utf8_lossy(&input),
                    kept.display()
                );
                resume_unwind(panic);
            }
        };
        if took > self.fuzz.limit && self.is_slow(&input, check) {
            let (name, kept) = (self.fuzz.name, self.write(&input, "found-"));
            panic!("{name} takes {took:?} for {:?}\nkept as {}", String::from_utf8_lossy(&input), kept.display());
        }
        if self.shapes.insert(hash(&plain(&shape))) && self.pool.len() < POOL {
            if self.keep && input.len() <= KEPT_BYTES && self.pool.len() < KEPT {
                self.write(&input, "");
            }
            self.pool.push(input);
        }
    }

    /// Not only because the machine was busy: where the system tells, what counts is the time that the processor gave to it.
    fn is_slow(&self, input: &[u8], check: &dyn Fn(&[u8]) -> String) -> bool {
        (0..3).all(|_| {
            let (begin, before) = (Instant::now(), processor_time());
            check(input);
            let took = match processor_time() - before {
                took if took > 0.0 => Duration::from_secs_f64(took),
                _ => begin.elapsed(),
            };
            took > self.fuzz.limit
        })
    }

    fn write(&self, input: &[u8], prefix: &str) -> PathBuf {
        let file = self.fuzz.corpus.join(format!("{prefix}{:016x}", hash(&input)));
        let written = std::fs::create_dir_all(&self.fuzz.corpus).and_then(|()| std::fs::write(&file, input));
        if let Err(error) = written {
            eprintln!("{} could not be kept: {error}", file.display());
        }
        file
    }

    /// Something known, changed in a few places.
    fn input(&mut self) -> Vec<u8> {
        let at = self.random.below(self.pool.len());
        let mut input = self.pool[at].clone();
        for _ in 0..=self.random.below(5) {
            self.change(&mut input);
        }
        input.truncate(self.fuzz.longest);
        input
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        let random = &mut self.random;
        let at = random.below(input.len() + 1);
        let some = at..(at + random.below(24)).min(input.len());
        match random.below(10) {
            0 => drop(input.drain(some)),
            1 => input.insert(at, ODD[random.below(ODD.len())]),
            2 if at < input.len() => input[at] = ODD[random.below(ODD.len())],
            3 if at < input.len() => input[at] ^= 1 << random.below(8),
            4 => {
                let piece = input[some].to_vec();
                let to = random.below(input.len() + 1);
                drop(input.splice(to..to, piece));
            }
            // Depth and length: what is cheap once may not be a hundred times.
            5 => {
                let piece = input[some].repeat(1 << random.below(9));
                drop(input.splice(at..at, piece));
            }
            6 => {
                let number = NUMBERS[random.below(NUMBERS.len())];
                drop(input.splice(some, number.bytes()));
            }
            7 => {
                let other = self.pool[random.below(self.pool.len())].clone();
                let from = random.below(other.len() + 1);
                drop(input.splice(at.., other[from..].iter().copied()));
            }
            _ if !self.fuzz.words.is_empty() => {
                let word = self.fuzz.words[random.below(self.fuzz.words.len())].clone();
                let over = if random.below(2) == 0 { some } else { at..at };
                drop(input.splice(over, word));
            }
            _ => input.push(random.below(256) as u8),
        }
    }
}

/// The shape without what was quoted from the input: numbers, and texts in quotes.
fn plain(shape: &str) -> String {
    let (mut out, mut inside) = (String::new(), None);
    let mut chars = shape.chars();
    while let Some(c) = chars.next() {
        match inside {
            Some(_) if c == '\\' => drop(chars.next()),
            Some(quote) if c == quote => inside = None,
            None if matches!(c, '"' | '\'' | '`') => inside = Some(c),
            None if !c.is_ascii_digit() => out.push(c),
            _ => {}
        }
    }
    out.chars().take(80).collect()
}

fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// Of this thread, in seconds; 0 where the system does not tell.
fn processor_time() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    stat.split(' ').next().and_then(|n| n.parse::<f64>().ok()).unwrap_or_default() / 1e9
}

/// SplitMix64: enough for this, and the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % end.max(1) as u64) as usize
    }
}

/// Of JSON bodies: signs, numbers, and names of fields.
pub const JSON: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "\"",
    "null",
    "true",
    "{}",
    "[{}]",
    "\"\\u0000\"",
    "\"\\ud800\"",
    "\"Job\"",
    "\"ID\"",
    "\"TaskGroups\"",
    "\"Tasks\"",
    "\"Count\"",
    "\"Config\"",
    "\"Constraints\"",
    "\"Periodic\"",
    "\"Spec\"",
    "\"Update\"",
    "\"Networks\"",
    "\"Resources\"",
    "\"Services\"",
    "\"Meta\"",
    "\"Driver\"",
    "\"30s\"",
    "-9223372036854775808",
    "9223372036854775807",
    "1e308",
    "\"Affinities\"",
    "\"Weight\"",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_found_and_kept() {
        let dir = std::env::temp_dir().join(format!("tarpan-fuzz-{}", std::process::id()));
        let fuzz = || Fuzz::new(dir.to_str().expect("a plain path"), "wrong").words(&["boom"]).seeds(["a"]);
        let wrong = |text: &str| {
            assert!(!text.contains("boom!"), "found");
            if text.contains("boom") { "half".to_owned() } else { String::new() }
        };
        assert!(catch_unwind(|| fuzz().texts(wrong)).is_err());
        let kept: Vec<_> = std::fs::read_dir(dir.join("corpus/wrong")).expect("a corpus").flatten().collect();
        assert!(kept.len() == 1 && kept[0].file_name().to_string_lossy().starts_with("found-"));
        assert!(std::fs::read_to_string(kept[0].path()).expect("text").contains("boom!"));
        // It comes first from then on.
        let tried = std::cell::Cell::new(0);
        let counted = |text: &str| {
            tried.set(tried.get() + 1);
            wrong(text)
        };
        assert!(catch_unwind(AssertUnwindSafe(|| fuzz().texts(counted))).is_err());
        assert_eq!(tried.get(), 1);
        std::fs::remove_dir_all(&dir).expect("removed");
    }

    #[test]
    fn shapes_leave_out_what_was_quoted() {
        assert_eq!(plain(r#"1:23: no "x \" y" here, 'b' neither"#), ":: no  here,  neither");
    }
}
