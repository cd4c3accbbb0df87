//! What happens in event `n`: ids, skew and text, each a function of the event's number alone.
//!
//! Source of the constants and of the rules of choice: the event generator of the NEXMark suite (Tucker, Tufte,
//! Papadimos, Maier: "NEXMark, a benchmark for queries over data streams", 2002, as later implementations fixed it).

/// Of so many events...
const CYCLE: u64 = 50;
/// ...one is a person, and three are auctions; the rest are bids.
const AUCTIONS: u64 = 3;

const FIRST_PERSON: i64 = 1_000;
const FIRST_AUCTION: i64 = 1_000;
const FIRST_CATEGORY: i64 = 10;
const CATEGORIES: u64 = 5;

/// The hot auction, seller and bidder change after so many.
const HOT_GROUP: u64 = 100;
/// Bids go to one of that many of the newest auctions, sellers and bidders are among that many of the newest people...
const AUCTIONS_IN_FLIGHT: u64 = 100;
const ACTIVE_PEOPLE: u64 = 1_000;
/// ...or to one of the next few, whose event is still to come.
const LEAD: u64 = 10;

/// Numbers of events, evenly spaced.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Events {
    pub(crate) first: u64,
    pub(crate) step: u64,
    pub(crate) count: usize,
}

impl Events {
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = u64> + use<> {
        let Events { first, step, count } = *self;
        (0..count).map(move |i| first + i as u64 * step)
    }
}

/// What an event tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Person,
    Auction,
    Bid,
}

#[inline]
pub(crate) fn kind(event: u64) -> Kind {
    match event % CYCLE {
        0 => Kind::Person,
        1..=AUCTIONS => Kind::Auction,
        _ => Kind::Bid,
    }
}

/// Independent random bits for each event and salt: the finaliser of SplitMix64 over both.
#[inline]
pub(crate) fn random(event: u64, salt: u64) -> u64 {
    let mut x = event.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ salt.wrapping_mul(0xd1b5_4a32_d192_ed03);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Evenly from `0..below`, by the high half of a product: no division.
#[inline]
pub(crate) fn pick(bits: u64, below: u64) -> u64 {
    ((u128::from(bits) * u128::from(below)) >> 64) as u64
}

/// Index of the newest person at that event.
#[inline]
fn newest_person(event: u64) -> u64 {
    event / CYCLE
}

/// Index of the newest auction at that event; in the first event there is none yet, and it is the first.
#[inline]
fn newest_auction(event: u64) -> u64 {
    let (cycle, offset) = (event / CYCLE, event % CYCLE);
    if offset == 0 { (cycle * AUCTIONS).saturating_sub(1) } else { cycle * AUCTIONS + (offset - 1).min(AUCTIONS - 1) }
}

#[inline]
fn some_person(event: u64, salt: u64) -> u64 {
    let people = newest_person(event) + 1;
    let active = people.min(ACTIVE_PEOPLE);
    people - active + pick(random(event, salt), active + LEAD)
}

#[inline]
fn some_auction(event: u64, salt: u64) -> u64 {
    let newest = newest_auction(event);
    let oldest = newest.saturating_sub(AUCTIONS_IN_FLIGHT);
    oldest + pick(random(event, salt), newest - oldest + 1 + LEAD)
}

pub(crate) fn person_id(event: u64) -> i64 {
    FIRST_PERSON + newest_person(event) as i64
}

pub(crate) fn auction_id(event: u64) -> i64 {
    FIRST_AUCTION + newest_auction(event) as i64
}

pub(crate) fn seller(event: u64) -> i64 {
    let hot = pick(random(event, 20), 4) > 0;
    let person = if hot { newest_person(event) / HOT_GROUP * HOT_GROUP } else { some_person(event, 21) };
    FIRST_PERSON + person as i64
}

pub(crate) fn category(event: u64) -> i64 {
    FIRST_CATEGORY + pick(random(event, 22), CATEGORIES) as i64
}

#[inline]
pub(crate) fn bid_auction(event: u64) -> i64 {
    let hot = random(event, 30) >> 63 == 0;
    let auction = if hot { newest_auction(event) / HOT_GROUP * HOT_GROUP } else { some_auction(event, 31) };
    FIRST_AUCTION + auction as i64
}

#[inline]
pub(crate) fn bidder(event: u64) -> i64 {
    let hot = pick(random(event, 32), 4) > 0;
    let person = if hot { newest_person(event) / HOT_GROUP * HOT_GROUP + 1 } else { some_person(event, 33) };
    FIRST_PERSON + person as i64
}

/// Cents, from 1 to 1,000,000 dollars, the same share of them in each order of magnitude.
#[inline]
pub(crate) fn price(event: u64, salt: u64) -> i64 {
    let unit = (random(event, salt) >> 11) as f64 / (1u64 << 53) as f64;
    ((unit * 6.0 * std::f64::consts::LOG2_10).exp2() * 100.0).round() as i64
}

pub(crate) fn reserve(event: u64) -> i64 {
    price(event, 23) + price(event, 24)
}

pub(crate) fn initial_bid(event: u64) -> i64 {
    price(event, 23)
}

/// Nanoseconds that an auction is open: long enough for about a hundred auctions to be in flight, on average.
pub(crate) fn duration(event: u64, nanos_per_event: f64) -> i64 {
    let horizon = nanos_per_event * (AUCTIONS_IN_FLIGHT * CYCLE / AUCTIONS) as f64;
    let unit = (random(event, 25) >> 11) as f64 / (1u64 << 53) as f64;
    1_000_000 + (unit * 2.0 * horizon) as i64
}

const CHANNELS: [&str; 4] = ["Google", "Facebook", "Baidu", "Apple"];
const COLD_CHANNELS: u64 = 10_000;
const FIRST_NAMES: [&str; 11] =
    ["Peter", "Paul", "Luke", "John", "Saul", "Vicky", "Kate", "Julie", "Sarah", "Deiter", "Walter"];
const LAST_NAMES: [&str; 9] = ["Shultz", "Abrams", "Spencer", "White", "Bartels", "Walton", "Smith", "Jones", "Noris"];
const CITIES: [(&str, &str); 10] = [
    ("Phoenix", "AZ"),
    ("Los Angeles", "CA"),
    ("San Francisco", "CA"),
    ("Boise", "ID"),
    ("Portland", "OR"),
    ("Bend", "OR"),
    ("Redmond", "WA"),
    ("Seattle", "WA"),
    ("Kent", "WA"),
    ("Cheyenne", "WY"),
];

/// Which channel a bid came through: a hot one for half of the bids.
fn channel_number(event: u64) -> Result<usize, u64> {
    let bits = random(event, 34);
    if bits >> 63 == 0 { Ok(pick(bits << 1, 4) as usize) } else { Err(pick(bits << 1, COLD_CHANNELS)) }
}

pub(crate) fn channel(event: u64, out: &mut Vec<u8>) {
    match channel_number(event) {
        Ok(hot) => out.extend_from_slice(CHANNELS[hot].as_bytes()),
        Err(cold) => {
            out.extend_from_slice(b"channel-");
            decimal(cold, out);
        }
    }
}

/// The page of a channel is the same in all its bids.
pub(crate) fn url(event: u64, out: &mut Vec<u8>) {
    let number = channel_number(event).map_or_else(|cold| cold, |hot| COLD_CHANNELS + hot as u64);
    out.extend_from_slice(b"https://www.nexmark.com/");
    for part in 0..3 {
        letters(random(number, 40 + part), 5, out);
        out.push(if part < 2 { b'/' } else { b'?' });
    }
    out.extend_from_slice(b"item.htm?query=1");
    if number < COLD_CHANNELS {
        out.extend_from_slice(b"&channel_id=");
        decimal(random(number, 43) >> 33, out);
    }
}

pub(crate) fn name(event: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(FIRST_NAMES[pick(random(event, 10), 11) as usize].as_bytes());
    out.push(b' ');
    out.extend_from_slice(LAST_NAMES[pick(random(event, 11), 9) as usize].as_bytes());
}

pub(crate) fn email_address(event: u64, out: &mut Vec<u8>) {
    letters(random(event, 12), 7, out);
    out.push(b'@');
    letters(random(event, 13), 5, out);
    out.extend_from_slice(b".com");
}

pub(crate) fn credit_card(event: u64, out: &mut Vec<u8>) {
    let mut bits = random(event, 14);
    for group in 0..4 {
        if group > 0 {
            out.push(b' ');
        }
        let four = bits % 10_000;
        bits /= 10_000;
        out.extend((0..4).rev().map(|place| b'0' + (four / 10u64.pow(place) % 10) as u8));
    }
}

pub(crate) fn city(event: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(CITIES[pick(random(event, 15), 10) as usize].0.as_bytes());
}

pub(crate) fn state(event: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(CITIES[pick(random(event, 15), 10) as usize].1.as_bytes());
}

pub(crate) fn item_name(event: u64, out: &mut Vec<u8>) {
    filler(event, 26, 10, out);
}

pub(crate) fn description(event: u64, out: &mut Vec<u8>) {
    filler(event, 27, 50, out);
}

/// Padding that brings people to about 200 bytes, auctions to 500 and bids to 100.
pub(crate) fn extra(event: u64, out: &mut Vec<u8>) {
    match kind(event) {
        Kind::Person => filler(event, 1, 80, out),
        Kind::Auction => filler(event, 1, 350, out),
        Kind::Bid => filler(event, 1, 30, out),
    }
}

/// Letters, from half to one and a half times as many.
fn filler(event: u64, salt: u64, length: u64, out: &mut Vec<u8>) {
    let mut bits = random(event, salt);
    let mut left = length / 2 + pick(bits, length + 1);
    while left > 0 {
        let now = left.min(8);
        bits = random(bits, salt);
        letters(bits, now, out);
        left -= now;
    }
}

/// At most 12 lower-case letters, five bits each.
fn letters(mut bits: u64, count: u64, out: &mut Vec<u8>) {
    for _ in 0..count {
        out.push(b'a' + ((bits & 31) * 26 >> 5) as u8);
        bits >>= 5;
    }
}

fn decimal(number: u64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let (mut rest, mut at) = (number, digits.len());
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}
