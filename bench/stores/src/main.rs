//! Compares embedded stores on the access pattern of state that outgrows memory: groups that have not changed for long
//! leave in batches, most keys that come are not among them, and those that are come back to memory.
//!
//! ```text
//! stores [entries=N] [only=NAME] [directory=PATH]    all stores, each in a process of its own; a table
//! stores run NAME N PATH                             one store; the cells of its row
//! stores sizes                                       what each adds to a stripped program, by opt-level
//! ```
//!
//! Keys have 16 to 40 bytes: a hash of 8 and the key itself, in one part behind the start of a window. Values have 16 to
//! 100 bytes, half of them zeros, as counters have. What is read is compared with what was written.
//!
//! Columns: entries or keys per second in thousands and, behind the stroke, microseconds of CPU time for each, of all
//! threads: the latter say more on a machine that others use, too. `put` is the time until the batches are taken,
//! `settled` until the store has nothing more to do. `take` looks up 512 keys that
//! exist and removes them, and puts all back after 20 such batches. `scan` reads a whole window beside three others,
//! `drop` removes it. `snapshot` is the reading of a snapshot in another thread while batches are put, then these.
//!
//! RocksDB is built from source, for half an hour or more, with a C++ compiler and libclang; `ROCKSDB_LIB_DIR` names a
//! directory with a library to take instead. Without it: `--no-default-features --features fjall,lsm-tree,redb,slatedb`.
//!
//! A package of its own, outside the workspace: the stores that were not chosen are no dependencies of the project.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use stores::{Bytes, Outcome, Store, kinds};

const COLUMNS: &str = "| store | put | settled | get 0 % | get 10 % | get 90 % | zipf 90 % | take | scan \
                       | drop s | snapshot | put beside | disk MB | disk MB at the end | peak RSS MB | written MB |";
/// Entries that leave memory at once.
const BATCH: u64 = 50_000;
/// Keys that are asked for at once.
const ASKED: u64 = 512;
/// Each kind of lookup ends when it has taken so long.
const LOOKUP_TIME: Duration = Duration::from_secs(10);
const LOOKUP_BATCHES: u64 = 1_000;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["run", name, entries, directory] => run(name, entries.parse()?, Path::new(directory)),
        ["sizes"] => sizes(),
        _ => compare(&arguments),
    }
}

fn compare(arguments: &[String]) -> Outcome<()> {
    let (mut entries, mut only, mut directory) = ("1000000", None, std::env::temp_dir().join("streamwright-stores"));
    for argument in arguments {
        match argument.split_once('=') {
            Some(("entries", value)) => entries = value,
            Some(("only", value)) => only = Some(value),
            Some(("directory", value)) => directory = PathBuf::from(value),
            _ => return Err(format!("what is \"{argument}\"?").into()),
        }
    }
    println!("{COLUMNS}\n|{}", "---|".repeat(COLUMNS.matches('|').count() - 1));
    for kind in kinds().iter().filter(|kind| only.is_none_or(|only| only == kind.name)) {
        let own = directory.join(kind.name.replace(", ", "-"));
        if own.exists() {
            std::fs::remove_dir_all(&own)?;
        }
        let status = Command::new(std::env::current_exe()?).args(["run", kind.name, entries]).arg(&own).status()?;
        if !status.success() {
            println!("| {} | failed: {status} |", kind.name);
        }
        if own.exists() {
            std::fs::remove_dir_all(&own)?;
        }
    }
    Ok(())
}

/// Prints the row of one store.
fn run(name: &str, entries: u64, directory: &Path) -> Outcome<()> {
    let kind = kinds().into_iter().find(|kind| kind.name == name).ok_or("there is no such store")?;
    let mut store = (kind.open)(directory)?;
    let mut cells = vec![kind.name.to_string()];

    let began = Began::now()?;
    for batch in 0..entries / BATCH {
        store.put(&sorted(batch * BATCH..(batch + 1) * BATCH, None))?;
    }
    cells.push(began.rate(entries)?);
    store.settle()?;
    cells.push(began.rate(entries)?);
    let disk = disk_bytes(directory)?;

    for present in [0, 10, 90] {
        cells.push(look_up(store.as_ref(), entries, present, Random::uniform)?);
    }
    cells.push(look_up(store.as_ref(), entries, 90, Random::zipf)?);
    cells.push(take(store.as_mut(), entries)?);
    cells.extend(window(store.as_mut(), entries)?);
    cells.extend(snapshot(store.as_mut(), entries)?);
    store.settle()?;

    cells.push(format!("{}", disk >> 20));
    cells.push(format!("{}", disk_bytes(directory)? >> 20));
    cells.push(format!("{}", status("/proc/self/status", "VmHWM:")? >> 10));
    cells.push(format!("{}", status("/proc/self/io", "write_bytes:")? >> 20));
    println!("| {} |", cells.join(" | "));
    Ok(())
}

fn look_up(store: &dyn Store, entries: u64, present: u64, next: fn(&mut Random, u64) -> u64) -> Outcome<String> {
    let mut random = Random(present + 1);
    let mut batches = 0;
    let began = Began::now()?;
    while batches < LOOKUP_BATCHES && began.at.elapsed() < LOOKUP_TIME {
        let numbers: Vec<u64> = (0..ASKED)
            .map(|_| {
                let number = next(&mut random, entries);
                if random.uniform(100) < present { number } else { entries * 10 + number }
            })
            .collect();
        let keys: Vec<Bytes> = numbers.iter().map(|&number| key(number, None)).collect();
        let values = store.get(&keys)?;
        for (&number, found) in numbers.iter().zip(values) {
            if found != (number < entries).then(|| value(number)) {
                return Err(format!("entry {number} is wrong").into());
            }
        }
        batches += 1;
    }
    began.rate(batches * ASKED)
}

fn take(store: &mut dyn Store, entries: u64) -> Outcome<String> {
    let mut random = Random(7);
    let began = Began::now()?;
    let mut taken = 0;
    while taken < 40 * 20 * ASKED && began.at.elapsed() < LOOKUP_TIME {
        let mut back = BTreeMap::new();
        for _ in 0..20 {
            let keys: Vec<Bytes> = (0..ASKED).map(|_| key(random.uniform(entries), None)).collect();
            let found = store.get(&keys)?;
            let (keys, values): (Vec<Bytes>, Vec<Bytes>) =
                keys.into_iter().zip(found).filter_map(|(key, value)| Some((key, value?))).unzip();
            store.remove(&keys)?;
            taken += keys.len() as u64;
            back.extend(keys.into_iter().zip(values));
        }
        store.put(&back.into_iter().collect::<Vec<_>>())?;
    }
    began.rate(taken)
}

/// Scanning and dropping one window of four.
fn window(store: &mut dyn Store, entries: u64) -> Outcome<[String; 2]> {
    const WINDOWS: u64 = 4;
    let of_window = entries / 20 / BATCH.min(entries / 20) * BATCH.min(entries / 20);
    let batch = BATCH.min(of_window) / WINDOWS;
    let start = |window: u64| 1_700_000_000_000_000_000 + window as i64 * 10_000_000_000;
    for number in 0..of_window / batch {
        for window in 0..WINDOWS {
            store.put(&sorted(number * batch..(number + 1) * batch, Some(start(window))))?;
        }
    }
    let of_window = of_window / batch * batch;
    let prefix = start(0).to_be_bytes();
    let count = |store: &dyn Store, prefix: &[u8]| {
        let mut rows = 0;
        store.scan(prefix, &mut |_, _| {
            rows += 1;
            true
        })?;
        Outcome::Ok(rows)
    };
    let began = Began::now()?;
    if count(store, &prefix)? != of_window {
        return Err("a window lacks rows".into());
    }
    let scanned = began.rate(of_window)?;
    let began = Instant::now();
    store.remove_prefix(&prefix)?;
    let dropped = began.elapsed();
    if count(store, &prefix)? != 0 || count(store, &start(1).to_be_bytes())? != of_window {
        return Err("another window was dropped".into());
    }
    Ok([scanned, format!("{:.2}", dropped.as_secs_f64())])
}

/// Reading a snapshot whole, while a tenth of the entries is put.
fn snapshot(store: &mut dyn Store, entries: u64) -> Outcome<[String; 2]> {
    let before = store.snapshot()?;
    let reader = std::thread::spawn(move || {
        let began = Instant::now();
        let mut rows = 0;
        before.scan(&[], &mut |_, _| {
            rows += 1;
            true
        })?;
        Outcome::Ok((rows, began.elapsed()))
    });
    let began = Instant::now();
    let mut put = 0;
    while !reader.is_finished() && put < entries {
        store.put(&sorted(entries + put..entries + put + BATCH, None))?;
        put += BATCH;
    }
    let spent = began.elapsed();
    let (rows, took) = reader.join().map_err(|_| "the reader panicked")??;
    let expected = entries / BATCH * BATCH;
    if rows < expected || rows > expected + entries / 20 * 3 {
        return Err(format!("a snapshot has {rows} rows").into());
    }
    Ok([rate(rows, took), rate(put, spent)])
}

fn sorted(numbers: std::ops::Range<u64>, window: Option<i64>) -> Vec<(Bytes, Bytes)> {
    let mut entries: Vec<_> = numbers.map(|number| (key(number, window), value(number))).collect();
    entries.sort_unstable();
    entries
}

fn key(number: u64, window: Option<i64>) -> Bytes {
    let hash = mix(number);
    let mut key = Vec::with_capacity(40);
    key.extend(window.map(i64::to_be_bytes).into_iter().flatten());
    key.extend(hash.to_be_bytes());
    let text = 8 + (hash % 25) as usize;
    key.extend((0..).flat_map(|at| mix(hash.wrapping_add(at)).to_be_bytes()).take(text.saturating_sub(8)));
    key.extend(number.to_be_bytes());
    key.truncate(40);
    key
}

fn value(number: u64) -> Bytes {
    let random = mix(!number);
    let words = (0..).flat_map(|at| u64::from(mix(random.wrapping_add(at)) as u32).to_be_bytes());
    words.take(16 + (random % 85) as usize).collect()
}

fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    number ^ (number >> 31)
}

struct Random(u64);

impl Random {
    fn uniform(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(1);
        mix(self.0.wrapping_mul(0xD6E8_FEB8_6659_FD93)) % below
    }

    /// Rank `r` about as often as `1/r`, ranks spread over all entries.
    fn zipf(&mut self, below: u64) -> u64 {
        let uniform = self.uniform(1 << 53) as f64 / (1_u64 << 53) as f64;
        let rank = (below as f64).powf(uniform) as u64;
        mix(rank) % below
    }
}

/// When something began, by both clocks.
struct Began {
    at: Instant,
    cpu_seconds: f64,
}

impl Began {
    fn now() -> Outcome<Began> {
        Ok(Began { at: Instant::now(), cpu_seconds: cpu_seconds()? })
    }

    /// Of that many since then.
    fn rate(&self, number: u64) -> Outcome<String> {
        let cpu_micros = (cpu_seconds()? - self.cpu_seconds) * 1e6 / number as f64;
        Ok(format!("{} / {cpu_micros:.1}", rate(number, self.at.elapsed())))
    }
}

fn rate(number: u64, time: Duration) -> String {
    format!("{:.0}", number as f64 / time.as_secs_f64() / 1e3)
}

fn cpu_seconds() -> Outcome<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit_once(')').ok_or("no name")?.1.split_whitespace().collect();
    // User and system time in ticks of a hundredth of a second.
    Ok((fields[11].parse::<f64>()? + fields[12].parse::<f64>()?) / 100.0)
}

fn status(file: &str, name: &str) -> Outcome<u64> {
    let text = std::fs::read_to_string(file)?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)).ok_or("the kernel does not say")?;
    Ok(line.split_whitespace().next().ok_or("no number")?.parse()?)
}

/// What the files occupy.
fn disk_bytes(path: &Path) -> Outcome<u64> {
    use std::os::unix::fs::MetadataExt as _;
    let mut bytes = 0;
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        // A file may be removed while we look.
        let Ok(metadata) = entry.metadata() else { continue };
        bytes += if metadata.is_dir() { disk_bytes(&entry.path())? } else { metadata.blocks() * 512 };
    }
    Ok(bytes)
}

/// Builds `hello` with each store and without.
fn sizes() -> Outcome<()> {
    println!("| store | opt-level 3, MB | opt-level s, MB |\n|---|---|---|");
    let mut without = [0, 0];
    for store in ["", "fjall", "lsm-tree", "redb", "rocksdb", "slatedb"] {
        let mut cells = Vec::new();
        for (at, (profile, set)) in
            [("release", "profile.release.strip=true"), ("small", "profile.small.strip=true")].into_iter().enumerate()
        {
            let target = format!("target/hello-{store}");
            let status = Command::new("cargo")
                .args(["build", "--quiet", "--bin", "hello", "--no-default-features", "--features", store])
                .args(["--profile", profile, "--config", set, "--target-dir", &target])
                .current_dir(env!("CARGO_MANIFEST_DIR"))
                .status()?;
            if !status.success() {
                return Err(format!("{store} cannot be built").into());
            }
            let bytes = std::fs::metadata(format!("{}/{target}/{profile}/hello", env!("CARGO_MANIFEST_DIR")))?.len();
            if store.is_empty() {
                without[at] = bytes;
            }
            cells.push(format!("{:.2}", (bytes - without[at]) as f64 / 1e6));
        }
        println!("| {} | {} |", if store.is_empty() { "(none)" } else { store }, cells.join(" | "));
    }
    Ok(())
}
