//! Every value of event number `n`, each by itself.
//!
//! Randomness is a hash of the event's number and a salt for each use ([`random`]), not a sequence: a value does not
//! depend on which others were drawn before it. All functions are deterministic.

/// Events after which the pattern of kinds repeats.
pub(crate) const BLOCK: u64 = PERSONS + AUCTIONS + 46;
const PERSONS: u64 = 1;
const AUCTIONS: u64 = 3;

const FIRST_ID: u64 = 1_000;
const FIRST_CATEGORY: u64 = 10;
const CATEGORIES: u64 = 5;

/// One in so many auctions, sellers and bidders is hot: there is one hot one at a time.
const HOT_EVERY: u64 = 100;
/// All but one in so many bids go to the hot auction, ...
const HOT_AUCTION_RATIO: u64 = 2;
/// ... come from the hot bidder, and auctions from the hot seller.
const HOT_PERSON_RATIO: u64 = 4;

/// People who bid and sell now, and auctions that are open now.
const ACTIVE_PEOPLE: u64 = 1_000;
const OPEN_AUCTIONS: u64 = 100;
/// Ids that are used a little before their event comes.
const LEAD: u64 = 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Person,
    Auction,
    Bid,
}

#[inline]
pub(crate) fn kind(n: u64) -> Kind {
    match n % BLOCK {
        0 => Kind::Person,
        1..=AUCTIONS => Kind::Auction,
        _ => Kind::Bid,
    }
}

/// What randomness is used for; each use has numbers of its own.
#[derive(Clone, Copy)]
pub(crate) enum Use {
    Auction = 1,
    AuctionPick,
    Bidder,
    BidderPick,
    Price,
    Channel,
    ChannelPick,
    Url,
    Extra,
    Seller,
    SellerPick,
    Category,
    Expires,
    InitialBid,
    Reserve,
    ItemName,
    Description,
    FirstName,
    LastName,
    Email,
    EmailHost,
    Card,
    City,
    State,
}

/// 64 random bits (the finaliser of SplitMix64 over a Weyl sequence for each use).
#[inline]
pub(crate) fn random(n: u64, usage: Use) -> u64 {
    mix(n.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add((usage as u64).wrapping_mul(0xd1b5_4a32_d192_ed03)))
}

#[inline]
pub(crate) fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// A number below `limit`, from random bits (Lemire's multiplication, without the correction: its bias is below
/// `limit / 2^64`).
#[inline]
pub(crate) fn below(bits: u64, limit: u64) -> u64 {
    ((u128::from(bits) * u128::from(limit)) >> 64) as u64
}

/// Persons before and at event `n`, less one.
#[inline]
fn last_person(n: u64) -> u64 {
    n / BLOCK * PERSONS
}

/// Auctions before and at event `n`, less one; 0 before there is any.
#[inline]
fn last_auction(n: u64) -> u64 {
    let blocks = n / BLOCK * AUCTIONS;
    (blocks + (n % BLOCK).min(AUCTIONS)).saturating_sub(1)
}

#[inline]
pub(crate) fn person_id(n: u64) -> i64 {
    (FIRST_ID + last_person(n)) as i64
}

#[inline]
pub(crate) fn auction_id(n: u64) -> i64 {
    (FIRST_ID + last_auction(n)) as i64
}

/// Someone who is active at event `n`.
#[inline]
fn active_person(n: u64, pick: Use) -> u64 {
    let people = last_person(n) + 1;
    let active = people.min(ACTIVE_PEOPLE);
    people - active + below(random(n, pick), active + LEAD)
}

#[inline]
pub(crate) fn seller(n: u64) -> i64 {
    let hot = below(random(n, Use::Seller), HOT_PERSON_RATIO) > 0;
    let person = if hot { last_person(n) / HOT_EVERY * HOT_EVERY } else { active_person(n, Use::SellerPick) };
    (FIRST_ID + person) as i64
}

/// The hot bidder is another than the hot seller.
#[inline]
pub(crate) fn bidder(n: u64) -> i64 {
    let hot = below(random(n, Use::Bidder), HOT_PERSON_RATIO) > 0;
    let person = if hot { last_person(n) / HOT_EVERY * HOT_EVERY + 1 } else { active_person(n, Use::BidderPick) };
    (FIRST_ID + person) as i64
}

#[inline]
pub(crate) fn bid_auction(n: u64) -> i64 {
    let last = last_auction(n);
    let auction = if below(random(n, Use::Auction), HOT_AUCTION_RATIO) > 0 {
        last / HOT_EVERY * HOT_EVERY
    } else {
        let oldest = last.saturating_sub(OPEN_AUCTIONS);
        oldest + below(random(n, Use::AuctionPick), last - oldest + 1 + LEAD)
    };
    (FIRST_ID + auction) as i64
}

#[inline]
pub(crate) fn category(n: u64) -> i64 {
    (FIRST_CATEGORY + below(random(n, Use::Category), CATEGORIES)) as i64
}

/// Prices in cents, from 1 to a million, their logarithm spread evenly.
pub(crate) struct Prices {
    /// `100 * 10^(6 i / STEPS)`; between them prices are on a line.
    table: Vec<f64>,
}

const STEPS: u64 = 1 << 12;

impl Prices {
    pub(crate) fn new() -> Self {
        Prices { table: (0..=STEPS).map(|i| 100.0 * 10f64.powf(6.0 * i as f64 / STEPS as f64)).collect() }
    }

    #[inline]
    pub(crate) fn price(&self, bits: u64) -> i64 {
        let (step, rest) = ((bits >> 52) as usize, (bits << 12 >> 11) as f64 / (1u64 << 53) as f64);
        let (low, high) = (self.table[step], self.table[step + 1]);
        (low + (high - low) * rest).round() as i64
    }
}

/// When events are.
#[derive(Clone, Copy)]
pub(crate) struct Times {
    start: i64,
    /// Nanoseconds from one event to the next.
    step: f64,
}

impl Times {
    pub(crate) fn new(start: i64, rate: f64) -> Self {
        Times { start, step: 1e9 / rate }
    }

    #[inline]
    pub(crate) fn at(&self, n: u64) -> i64 {
        self.start.saturating_add((n as f64 * self.step) as i64)
    }

    /// When the auction of event `n` ends: about when as many auctions as are open at once have come.
    #[inline]
    pub(crate) fn expires(&self, n: u64) -> i64 {
        const MILLI: i64 = 1_000_000;
        let horizon = (OPEN_AUCTIONS * BLOCK / AUCTIONS) as f64 * self.step / MILLI as f64;
        let longest = ((horizon * 2.0) as u64).max(1);
        let millis = 1 + below(random(n, Use::Expires), longest) as i64;
        self.at(n).saturating_add(millis.saturating_mul(MILLI))
    }
}

/// Sixteen letters from `a` to `p`, one of each four bits.
#[inline]
fn sixteen_letters(bits: u64) -> [u8; 16] {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let low = (bits & (EACH * 15)) + EACH * u64::from(b'a');
    let high = (bits >> 4 & (EACH * 15)) + EACH * u64::from(b'a');
    let mut letters = [0; 16];
    letters[..8].copy_from_slice(&low.to_le_bytes());
    letters[8..].copy_from_slice(&high.to_le_bytes());
    letters
}

/// Appends letters from random bits.
#[inline]
pub(crate) fn letters(mut seed: u64, length: usize, out: &mut Vec<u8>) {
    let end = out.len() + length;
    // Whole blocks, cut at the end: a copy of sixteen bytes is one instruction, one of fewer is a call.
    while out.len() < end {
        seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        out.extend_from_slice(&sixteen_letters(mix(seed)));
    }
    out.truncate(end);
}

/// Appends filler that brings an event's size to `average` bytes, give or take a fifth, beside the `own` that it has.
#[inline]
pub(crate) fn extra(n: u64, own: usize, average: usize, out: &mut Vec<u8>) {
    if own >= average {
        return;
    }
    let missing = average - own;
    let spread = (missing as f64 * 0.2).round() as u64;
    let bits = random(n, Use::Extra);
    let length = missing as u64 - spread + below(bits, 2 * spread + 1);
    letters(mix(bits), length as usize, out);
}

const FIRST_NAMES: &[&str] =
    &["Peter", "Paul", "Luke", "John", "Saul", "Vicky", "Kate", "Julie", "Sarah", "Deiter", "Walter"];
const LAST_NAMES: &[&str] = &["Shultz", "Abrams", "Spencer", "White", "Bartels", "Walton", "Smith", "Jones", "Noris"];
const CITIES: &[&str] =
    &["Phoenix", "Los Angeles", "San Francisco", "Boise", "Portland", "Bend", "Redmond", "Seattle", "Kent", "Cheyenne"];
const STATES: &[&str] = &["AZ", "CA", "ID", "OR", "WA", "WY"];
const HOT_CHANNELS: &[&str] = &["Google", "Facebook", "Baidu", "Apple"];
const CHANNELS: u64 = 10_000;

fn pick(words: &[&'static str], n: u64, usage: Use) -> &'static str {
    words[below(random(n, usage), words.len() as u64) as usize]
}

pub(crate) fn name(n: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(pick(FIRST_NAMES, n, Use::FirstName).as_bytes());
    out.push(b' ');
    out.extend_from_slice(pick(LAST_NAMES, n, Use::LastName).as_bytes());
}

pub(crate) fn email(n: u64, out: &mut Vec<u8>) {
    let word = |bits: u64, out: &mut Vec<u8>| {
        out.extend((0..7).map(|i| b'a' + ((bits >> (8 * i)) & 0xff) as u8 % 26));
    };
    word(random(n, Use::Email), out);
    out.push(b'@');
    word(random(n, Use::EmailHost), out);
    out.extend_from_slice(b".com");
}

pub(crate) fn credit_card(n: u64, out: &mut Vec<u8>) {
    let bits = random(n, Use::Card);
    for group in 0..4 {
        if group > 0 {
            out.push(b' ');
        }
        let mut number = below(mix(bits.wrapping_add(group)), 10_000);
        let mut digits = [b'0'; 4];
        for digit in digits.iter_mut().rev() {
            *digit += (number % 10) as u8;
            number /= 10;
        }
        out.extend_from_slice(&digits);
    }
}

pub(crate) fn city(n: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(pick(CITIES, n, Use::City).as_bytes());
}

pub(crate) fn state(n: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(pick(STATES, n, Use::State).as_bytes());
}

pub(crate) fn item_name(n: u64, out: &mut Vec<u8>) {
    let bits = random(n, Use::ItemName);
    letters(mix(bits), 3 + below(bits, 18) as usize, out);
}

pub(crate) fn description(n: u64, out: &mut Vec<u8>) {
    let bits = random(n, Use::Description);
    letters(mix(bits), 3 + below(bits, 98) as usize, out);
}

/// The channel of a bid: a hot one, or its number.
#[inline]
fn channel_of(n: u64) -> Result<&'static str, u64> {
    let bits = random(n, Use::ChannelPick);
    if random(n, Use::Channel) >> 63 == 1 {
        Ok(HOT_CHANNELS[below(bits, HOT_CHANNELS.len() as u64) as usize])
    } else {
        Err(below(bits, CHANNELS))
    }
}

#[inline]
pub(crate) fn channel(n: u64, out: &mut Vec<u8>) {
    match channel_of(n) {
        Ok(name) => out.extend_from_slice(name.as_bytes()),
        Err(number) => {
            out.extend_from_slice(b"channel-");
            digits(number, out);
        }
    }
}

/// `https://www.nexmark.com/abcde/fghij/klmno/item.htm?query=1`, and the channel's id for some; the same for all bids
/// of a channel.
#[inline]
pub(crate) fn url(n: u64, out: &mut Vec<u8>) {
    let channel = channel_of(n);
    let seed = match channel {
        Ok(name) => u64::from(name.as_bytes()[0]) << 32,
        Err(number) => number,
    };
    let bits = mix(seed.wrapping_add((Use::Url as u64) << 40));
    let letters = sixteen_letters(bits);
    let mut text = *b"https://www.nexmark.com/...../...../...../item.htm?query=1";
    text[24..29].copy_from_slice(&letters[..5]);
    text[30..35].copy_from_slice(&letters[5..10]);
    text[36..41].copy_from_slice(&letters[10..15]);
    out.extend_from_slice(&text);
    if let Err(number) = channel
        && !bits.is_multiple_of(10)
    {
        out.extend_from_slice(b"&channel_id=");
        digits(number, out);
    }
}

/// Appends a number below 10,000.
#[inline]
fn digits(number: u64, out: &mut Vec<u8>) {
    let all = [1_000, 100, 10, 1].map(|place| b'0' + (number / place % 10) as u8);
    let zeros = all.iter().take(3).take_while(|digit| **digit == b'0').count();
    out.extend_from_slice(&all[zeros..]);
}
