//! A small fuzzer for what reads foreign bytes: mutates a corpus that is kept beside the tests.
//!
//! A check is a function of an input that panics where something is wrong, and says what shape the outcome had (the sentence of
//! a refusal, say). Shapes stand in for coverage: an input whose outcome nothing had before is kept and mutated in turn. Every
//! run begins with the whole corpus. Then `cargo test` tries a fixed number of inputs, the same ones each time;
//! `TARPAN_FUZZ_SECONDS=n` goes on for n seconds from another start, and writes what is worth keeping to the corpus.
//! An input that fails is printed and written there too, so that it is tried for ever after.
//!
//! Start at [`Fuzz`].

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

/// Inputs of an ordinary run; fewer when they take long.
const ROUNDS: u64 = 3_000;
const SHORT: Duration = Duration::from_secs(4);
/// Inputs that are mutated further.
const POOL: usize = 1_000;
/// What a corpus grows to: this many inputs of at most this many bytes each.
const KEPT: usize = 32;
const KEPT_BYTES: usize = 400;
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

    pub fn bytes(self, check: impl Fn(&[u8]) -> String) {
        let long = std::env::var("TARPAN_FUZZ_SECONDS").ok().and_then(|n| n.parse().ok()).map(Duration::from_secs);
        let seed = long.map_or(0, |_| SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_nanos() as u64);
        let mut run =
            Run { random: Random(seed), pool: Vec::new(), shapes: HashSet::new(), keep: long.is_some(), fuzz: self };
        run.replay(&check);
        let (begin, lasts) = (Instant::now(), long.unwrap_or(SHORT));
        let mut rounds = 0_u64;
        while begin.elapsed() < lasts && (long.is_some() || rounds < ROUNDS) {
            let input = run.input();
            run.try_out(input, &check);
            rounds += 1;
        }
        if long.is_some() {
            let (name, shapes) = (run.fuzz.name, run.shapes.len());
            println!(
                "{name}: {rounds} inputs, {shapes} shapes, {:.1} s of processor time, seed {seed}",
                processor_time()
            );
        }
    }
}

struct Run {
    fuzz: Fuzz,
    random: Random,
    pool: Vec<Vec<u8>>,
    shapes: HashSet<u64>,
    keep: bool,
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
        let begin = Instant::now();
        let done = catch_unwind(AssertUnwindSafe(|| check(&input)));
        let took = begin.elapsed();
        let shape = match done {
            Ok(shape) => shape,
            Err(panic) => {
                self.write(&input, "found-");
                eprintln!("{} panics on {:?}", self.fuzz.name, String::from_utf8_lossy(&input));
                resume_unwind(panic);
            }
        };
        if took > self.fuzz.limit && self.is_slow(&input, check) {
            self.write(&input, "found-");
            panic!("{} takes {took:?} for {:?}", self.fuzz.name, String::from_utf8_lossy(&input));
        }
        if self.shapes.insert(hash(&plain(&shape))) && self.pool.len() < POOL {
            if self.keep && input.len() <= KEPT_BYTES && self.pool.len() < KEPT {
                self.write(&input, "");
            }
            self.pool.push(input);
        }
    }

    /// Not only because the machine was busy.
    fn is_slow(&self, input: &[u8], check: &dyn Fn(&[u8]) -> String) -> bool {
        (0..3).all(|_| {
            let begin = Instant::now();
            check(input);
            begin.elapsed() > self.fuzz.limit
        })
    }

    fn write(&self, input: &[u8], prefix: &str) {
        let file = self.fuzz.corpus.join(format!("{prefix}{:016x}", hash(&input)));
        let written = std::fs::create_dir_all(&self.fuzz.corpus).and_then(|()| std::fs::write(&file, input));
        if let Err(error) = written {
            eprintln!("{} could not be kept: {error}", file.display());
        }
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
