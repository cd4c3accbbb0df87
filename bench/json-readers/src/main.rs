//! Loops that read three fields of each line of a file of JSON lines and drop them: the yardstick for the JSON part of
//! the benchmark `end_to_end`, which builds this program and starts it.
//!
//! ```text
//! json-readers                         the names of the readers, a line each
//! json-readers READER TIMES FILE       reads the file; the number of rows goes to stderr
//! ```
//!
//! All readers find lines with memchr, check UTF-8 once a block, and parse the time unless TIMES says not to.
//!
//! A package of its own, outside the workspace: sonic-rs asks for features of crates below Arrow, so in the workspace
//! `cargo build -p cli` would compile another tree of dependencies than `cargo test --workspace`.

use std::error::Error;
use std::fs::File;
use std::hint::black_box;
use std::io::Read as _;

use chrono::NaiveDate;
use serde::Deserialize;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Read at once.
const BLOCK_BYTES: usize = 1 << 18;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.is_empty() {
        json_readers().for_each(|reader| println!("{}", reader.name));
        return Ok(());
    }
    read_json(&arguments)
}

/// Baseline: `READER TIMES FILE`. Every line is parsed and dropped.
fn read_json(arguments: &[String]) -> Outcome<()> {
    let [reader, times, file] = arguments else { return Err("a reader, what of times, and a file, please".into()) };
    let reader = json_readers().find(|known| known.name == reader.as_str()).ok_or("there is no such reader")?;
    let times = match times.as_str() {
        TIMES_PARSED => Times::Parsed,
        TIMES_AS_TEXT => Times::AsText,
        _ => return Err("times are either parsed or left as text".into()),
    };
    let mut file = File::open(file)?;
    let mut block = vec![0; BLOCK_BYTES];
    let (mut filled, mut rows) = (0, 0);
    loop {
        let read = file.read(&mut block[filled..])?;
        if read == 0 {
            break;
        }
        filled += read;
        let whole = memchr::memrchr(b'\n', &block[..filled]).map_or(0, |end| end + 1);
        rows += (reader.read)(std::str::from_utf8(&block[..whole])?, times)?;
        block.copy_within(whole..filled, 0);
        filled -= whole;
    }
    if filled > 0 {
        return Err("a line has no end, or is longer than a block".into());
    }
    eprintln!("{rows}");
    Ok(())
}

/// The fields of a line that the query needs; the time as its text.
#[derive(Deserialize)]
struct Bid<'a> {
    auction: i64,
    price: i64,
    dt: &'a str,
}

/// What becomes of a time that has been read.
#[derive(Clone, Copy)]
enum Times {
    Parsed,
    AsText,
}

/// As arguments.
const TIMES_PARSED: &str = "times-parsed";
const TIMES_AS_TEXT: &str = "times-as-text";

/// A way of reading the fields of [`Bid`].
struct JsonReader {
    name: &'static str,
    /// Reads a block of whole lines and gives their number.
    read: fn(&str, Times) -> Outcome<u64>,
}

fn json_readers() -> impl Iterator<Item = &'static JsonReader> {
    SERDE_JSON.iter().chain(sonic::READERS)
}

const SERDE_JSON: &[JsonReader] = &[JsonReader { name: "serde_json: struct", read: serde_json_struct }];

fn serde_json_struct(block: &str, times: Times) -> Outcome<u64> {
    let mut rows = 0;
    for (line, _) in lines(block) {
        let bid: Bid<'_> = serde_json::from_str(line)?;
        take(&bid, times)?;
        rows += 1;
    }
    Ok(rows)
}

/// Ways of using sonic-rs. Those that look for fields in the text get all of it up to the end of the block: they stop
/// at the end of the object, and so have no short end of a line to go through byte by byte.
mod sonic {
    use sonic_rs::{Deserializer, JsonValueTrait as _, LazyValue, PointerTree};

    use super::{Bid, JsonReader, Outcome, Times, lines, take};

    pub(super) const READERS: &[JsonReader] = &[
        JsonReader { name: "sonic-rs: struct", read: by_line },
        JsonReader { name: "sonic-rs: struct, one parser", read: by_block },
        JsonReader { name: "sonic-rs: get_many_unchecked", read: many },
        JsonReader { name: "sonic-rs: get_unchecked, thrice", read: each },
        JsonReader { name: "sonic-rs: object iterator", read: members },
    ];

    fn by_line(block: &str, times: Times) -> Outcome<u64> {
        let mut rows = 0;
        for (line, _) in lines(block) {
            let bid: Bid<'_> = sonic_rs::from_str(line)?;
            take(&bid, times)?;
            rows += 1;
        }
        Ok(rows)
    }

    /// The parser goes from line to line by itself.
    fn by_block(block: &str, times: Times) -> Outcome<u64> {
        let mut parser = Deserializer::from_str(block);
        let mut rows = 0;
        for _ in lines(block) {
            let bid: Bid<'_> = parser.deserialize()?;
            take(&bid, times)?;
            rows += 1;
        }
        Ok(rows)
    }

    fn many(block: &str, times: Times) -> Outcome<u64> {
        let mut fields = PointerTree::new();
        for field in ["auction", "price", "dt"] {
            fields.add_path([field]);
        }
        let mut rows = 0;
        for (_, rest) in lines(block) {
            // SAFETY: the text is UTF-8 and the parser stays in it: what is not JSON gives wrong fields at worst.
            let found = unsafe { sonic_rs::get_many_unchecked(rest, &fields) }?;
            let [Some(auction), Some(price), Some(dt)] = found.as_slice() else {
                return Err("a field is missing".into());
            };
            take(&bid(auction, price, dt)?, times)?;
            rows += 1;
        }
        Ok(rows)
    }

    fn each(block: &str, times: Times) -> Outcome<u64> {
        let mut rows = 0;
        for (_, rest) in lines(block) {
            // SAFETY: as in `many`.
            let field = |name: &'static str| unsafe { sonic_rs::get_unchecked(rest, [name]) };
            let (auction, price, dt) = (field("auction")?, field("price")?, field("dt")?);
            take(&bid(&auction, &price, &dt)?, times)?;
            rows += 1;
        }
        Ok(rows)
    }

    fn members(block: &str, times: Times) -> Outcome<u64> {
        let mut rows = 0;
        for (_, rest) in lines(block) {
            let (mut auction, mut price, mut dt) = (None, None, None);
            // SAFETY: as in `many`.
            for member in unsafe { sonic_rs::to_object_iter_unchecked(rest) } {
                let (name, value) = member?;
                match &*name {
                    "auction" => auction = Some(value),
                    "price" => price = Some(value),
                    "dt" => dt = Some(value),
                    _ => {}
                }
            }
            let (Some(auction), Some(price), Some(dt)) = (auction, price, dt) else {
                return Err("a field is missing".into());
            };
            take(&bid(&auction, &price, &dt)?, times)?;
            rows += 1;
        }
        Ok(rows)
    }

    fn bid<'a>(auction: &LazyValue<'_>, price: &LazyValue<'_>, dt: &'a LazyValue<'_>) -> Outcome<Bid<'a>> {
        Ok(Bid {
            auction: auction.as_raw_str().parse()?,
            price: price.as_raw_str().parse()?,
            dt: dt.as_str().ok_or("the time is no text")?,
        })
    }
}

/// The lines of a block, without their ends; beside each, what begins with it and goes to the end of the block.
fn lines(block: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut start = 0;
    memchr::memchr_iter(b'\n', block.as_bytes()).map(move |end| {
        let found = (&block[start..end], &block[start..]);
        start = end + 1;
        found
    })
}

/// The end of every loop.
fn take(bid: &Bid<'_>, times: Times) -> Outcome<()> {
    match times {
        Times::Parsed => {
            let time = nanoseconds(bid.dt).ok_or_else(|| format!("\"{}\" is no time", bid.dt))?;
            black_box((bid.auction, bid.price, time));
        }
        Times::AsText => {
            black_box((bid.auction, bid.price, bid.dt));
        }
    }
    Ok(())
}

/// Nanoseconds since the Unix epoch of a time as pipelines write it, `2025-01-01T00:00:00.000010`. Pipelines read far
/// more forms of it; a loop that knows its input need not.
fn nanoseconds(time: &str) -> Option<i64> {
    let number = |digits: &[u8]| {
        let next = |number: u32, digit: &u8| digit.is_ascii_digit().then(|| number * 10 + u32::from(digit - b'0'));
        digits.iter().try_fold(0, next)
    };
    let (second, fraction) = time.as_bytes().split_at_checked(19)?;
    let nanos = match fraction {
        [] => 0,
        [b'.', digits @ ..] if digits.len() <= 9 => number(digits)? * 10_u32.pow(9 - digits.len() as u32),
        _ => return None,
    };
    let [b'-', b'-', b'T', b':', b':'] = [4, 7, 10, 13, 16].map(|at| second[at]) else { return None };
    let (year, month, day) = (number(&second[..4])?, number(&second[5..7])?, number(&second[8..10])?);
    let (hour, minute, second) = (number(&second[11..13])?, number(&second[14..16])?, number(&second[17..])?);
    let date = NaiveDate::from_ymd_opt(year as i32, month, day)?;
    date.and_hms_nano_opt(hour, minute, second, nanos)?.and_utc().timestamp_nanos_opt()
}
