//! Hash tables from keys to dense numbers: open addressing, linear probing, at most half full, grown in place of order.
//!
//! ```text
//!   pass 1, no branch on data:  hash ─▶ home slot ─▶ equal? ─▶ number, or a place in the list of misses
//!   pass 2, misses only:        probe on, insert, grow
//! ```
//!
//! The loads of pass 1 do not depend on each other, so the processor has a dozen cache misses in flight at once; that is
//! what a software prefetch would buy. Only misses (new keys, and keys displaced from their home) take branches.
//!
//! A slot is two words, so that a probe touches one cache line, and all zero when empty, so that a new table is fresh
//! memory from the system. The home of a hash is its high bits: growing keeps the order of slots, so it reads and
//! writes in sequence. Numbers are given in the order of first appearance, and never change.

use super::hash::{EXACT, hash_bytes, hash_word};

const BLOCK: usize = 512;
const FIRST_SLOTS: usize = 16;
/// A table that had this many times more slots than it needed gives them back when it is cleared.
const SLACK: usize = 16;

/// Slots of either table: `[tag, payload]`; the low half of the payload is the number plus one, zero when empty.
#[derive(Debug)]
struct Slots {
    slots: Vec<[u64; 2]>,
    shift: u32,
}

impl Slots {
    fn new(count: usize) -> Self {
        Slots { slots: vec![[0; 2]; count], shift: u64::BITS - count.trailing_zeros() }
    }

    #[inline]
    fn home(&self, hash: u64) -> usize {
        (hash >> self.shift) as usize
    }

    #[inline]
    fn next(&self, at: usize) -> usize {
        (at + 1) & (self.slots.len() - 1)
    }

    #[inline]
    fn is_full(&self, groups: usize) -> bool {
        is_full(self.slots.len(), groups)
    }

    /// More slots: four times as many while that is cheap.
    fn grow(&mut self, hash_of: impl Fn(&[u64; 2]) -> u64) {
        let count = self.slots.len() * if self.slots.len() < 1 << 14 { 4 } else { 2 };
        let old = std::mem::replace(self, Slots::new(count));
        for slot in old.slots.iter().filter(|slot| slot[1] != 0) {
            self.put(hash_of(slot), *slot);
        }
    }

    fn clear(&mut self, groups: usize) {
        if self.slots.len() > FIRST_SLOTS && self.slots.len() > groups.max(FIRST_SLOTS) * SLACK {
            *self = Slots::new((groups * 8).next_power_of_two().max(FIRST_SLOTS));
        } else {
            self.slots.fill([0; 2]);
        }
    }

    /// Empties it, with as many slots as that many keys want.
    fn reset(&mut self, groups: usize) {
        let mut count = FIRST_SLOTS;
        while is_full(count, groups) {
            count *= 2;
        }
        if count == self.slots.len() {
            self.slots.fill([0; 2]);
        } else {
            // Not both at once.
            self.slots = Vec::new();
            *self = Slots::new(count);
        }
    }

    /// Puts a payload into a free slot, without a look at those that are there.
    fn put(&mut self, hash: u64, slot: [u64; 2]) {
        let mut at = self.home(hash);
        while self.slots[at][1] != 0 {
            at = self.next(at);
        }
        self.slots[at] = slot;
    }

    fn memory(&self) -> usize {
        self.slots.len() * size_of::<[u64; 2]>()
    }
}

/// At most half full; a quarter while slots fit the processor's cache, where fewer displaced keys are worth more.
#[inline]
fn is_full(slots: usize, groups: usize) -> bool {
    groups * if slots <= 1 << 16 { 4 } else { 2 } >= slots
}

/// Keys of up to 64 bits.
#[derive(Debug)]
pub(super) struct WordTable {
    slots: Slots,
    /// By number; the one of the null key is arbitrary.
    pub(super) keys: Vec<u64>,
    pub(super) null: Option<u32>,
}

impl WordTable {
    pub(super) fn new() -> Self {
        WordTable { slots: Slots::new(FIRST_SLOTS), keys: Vec::new(), null: None }
    }

    /// Appends the number of each word; `valid` (if some are null) is as long as `words`.
    pub(super) fn assign(&mut self, words: &[u64], valid: Option<&[bool]>, out: &mut Vec<u32>) {
        out.reserve(words.len());
        match valid {
            None => words.chunks(BLOCK).for_each(|words| self.assign_block(words, out)),
            Some(valid) => {
                for (&word, &valid) in words.iter().zip(valid) {
                    out.push(if valid { self.find_or_insert(word) } else { self.null_number() });
                }
            }
        }
    }

    fn assign_block(&mut self, words: &[u64], out: &mut Vec<u32>) {
        let from = out.len();
        out.resize(from + words.len(), 0);
        let (mut misses, mut missed) = ([0u16; BLOCK], 0);
        // Locals: what a loop reads through `self` it reads from memory each time.
        let (slots, shift) = (self.slots.slots.as_slice(), self.slots.shift);
        for (i, (&word, number)) in words.iter().zip(&mut out[from..]).enumerate() {
            let slot = slots[(hash_word(word) >> shift) as usize];
            *number = (slot[1] as u32).wrapping_sub(1);
            misses[missed % BLOCK] = i as u16;
            missed += usize::from((slot[0] != word) | (slot[1] == 0));
        }
        for &i in &misses[..missed] {
            out[from + usize::from(i)] = self.find_or_insert(words[usize::from(i)]);
        }
    }

    fn find_or_insert(&mut self, word: u64) -> u32 {
        let mut at = self.slots.home(hash_word(word));
        loop {
            let slot = self.slots.slots[at];
            if slot[1] == 0 {
                break;
            }
            if slot[0] == word {
                return slot[1] as u32 - 1;
            }
            at = self.slots.next(at);
        }
        let number = self.keys.len() as u32;
        self.keys.push(word);
        self.slots.slots[at] = [word, u64::from(number) + 1];
        if self.slots.is_full(self.keys.len()) {
            self.slots.grow(|slot| hash_word(slot[0]));
        }
        number
    }

    fn null_number(&mut self) -> u32 {
        *self.null.get_or_insert_with(|| {
            self.keys.push(0);
            self.keys.len() as u32 - 1
        })
    }

    pub(super) fn clear(&mut self) {
        self.slots.clear(self.keys.len());
        self.keys.clear();
        self.null = None;
    }

    /// See [`super::KeyTable::keep`].
    pub(super) fn keep(&mut self, kept: &[u32]) {
        keep_at(&mut self.keys, kept);
        self.null = number_among(self.null, kept);
        self.slots.reset(kept.len());
        for (number, &word) in self.keys.iter().enumerate().filter(|(number, _)| self.null != Some(*number as u32)) {
            self.slots.put(hash_word(word), [word, number as u64 + 1]);
        }
    }

    pub(super) fn memory(&self) -> usize {
        self.slots.memory() + self.keys.len() * size_of::<u64>()
    }
}

/// Keeps the items at these places, which are ascending, and gives memory back.
#[inline]
pub(crate) fn keep_at<T>(items: &mut Vec<T>, kept: &[u32]) {
    for (to, &from) in kept.iter().enumerate() {
        items.swap(to, from as usize);
    }
    items.truncate(kept.len());
    items.shrink_to(kept.len() + kept.len() / 4);
}

/// The number that a key gets when these are kept.
fn number_among(number: Option<u32>, kept: &[u32]) -> Option<u32> {
    kept.binary_search(&number?).ok().map(|number| number as u32)
}

#[inline]
fn slice<'a>(bytes: &'a [u8], offsets: &[usize], number: usize) -> &'a [u8] {
    &bytes[offsets[number]..offsets[number + 1]]
}

/// Whether strings of one length are equal. Most keys are short, and then two loads are quicker than a call.
#[inline]
fn equal(a: &[u8], b: &[u8]) -> bool {
    match (a.first_chunk::<8>(), b.first_chunk::<8>(), a.last_chunk::<8>(), b.last_chunk::<8>()) {
        (Some(a_head), Some(b_head), Some(a_tail), Some(b_tail)) if a.len() <= 16 => {
            (a_head == b_head) & (a_tail == b_tail)
        }
        _ => a == b,
    }
}

/// Keys that are byte strings. A slot is `[hash, length << 32 | number + 1]`; strings of up to [`EXACT`] bytes are
/// known by hash and length, longer ones are compared.
#[derive(Debug)]
pub(super) struct BytesTable {
    slots: Slots,
    bytes: Vec<u8>,
    /// Where the key of each number begins in `bytes`, and where the last one ends.
    offsets: Vec<usize>,
    pub(super) null: Option<u32>,
}

impl BytesTable {
    pub(super) fn new() -> Self {
        BytesTable { slots: Slots::new(FIRST_SLOTS), bytes: Vec::new(), offsets: vec![0], null: None }
    }

    pub(super) fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// The key with a number; empty for the null key.
    #[inline]
    pub(super) fn key(&self, number: usize) -> &[u8] {
        slice(&self.bytes, &self.offsets, number)
    }

    /// Appends the number of each of `count` keys; `valid` (if some are null) has as many flags.
    pub(super) fn assign<'a>(
        &mut self,
        count: usize,
        key: impl Fn(usize) -> &'a [u8],
        valid: Option<&[bool]>,
        out: &mut Vec<u32>,
    ) {
        out.reserve(count);
        match valid {
            None => {
                for start in (0..count).step_by(BLOCK) {
                    self.assign_block(start..count.min(start + BLOCK), &key, out);
                }
            }
            Some(valid) => {
                for (i, &valid) in valid.iter().enumerate() {
                    let number = if valid {
                        let key = key(i);
                        self.find_or_insert(hash_bytes(key), key)
                    } else {
                        self.null_number()
                    };
                    out.push(number);
                }
            }
        }
    }

    fn assign_block<'a>(
        &mut self,
        range: std::ops::Range<usize>,
        key: &impl Fn(usize) -> &'a [u8],
        out: &mut Vec<u32>,
    ) {
        let (from, first) = (out.len(), range.start);
        out.resize(from + range.len(), 0);
        let mut hashes = [0u64; BLOCK];
        let (mut misses, mut missed) = ([0u16; BLOCK], 0);
        let (slots, shift) = (self.slots.slots.as_slice(), self.slots.shift);
        let (bytes, offsets) = (self.bytes.as_slice(), self.offsets.as_slice());
        for (i, (number, hash)) in out[from..].iter_mut().zip(&mut hashes).enumerate() {
            let key = key(first + i);
            *hash = hash_bytes(key);
            let slot = slots[(*hash >> shift) as usize];
            // Wraps to a number that no key has when the slot is empty.
            *number = (slot[1] as u32).wrapping_sub(1);
            let same = (slot[0] == *hash) & (slot[1] >> 32 == key.len() as u64) & (slot[1] != 0);
            let same = same && (key.len() <= EXACT || equal(slice(bytes, offsets, *number as usize), key));
            misses[missed % BLOCK] = i as u16;
            missed += usize::from(!same);
        }
        for &i in &misses[..missed] {
            let i = usize::from(i);
            out[from + i] = self.find_or_insert(hashes[i], key(first + i));
        }
    }

    fn find_or_insert(&mut self, hash: u64, key: &[u8]) -> u32 {
        let len = key.len() as u64;
        let mut at = self.slots.home(hash);
        loop {
            let slot = self.slots.slots[at];
            if slot[1] == 0 {
                break;
            }
            let number = slot[1] as u32 - 1;
            if slot[0] == hash && slot[1] >> 32 == len && (key.len() <= EXACT || equal(self.key(number as usize), key))
            {
                return number;
            }
            at = self.slots.next(at);
        }
        let number = self.len() as u32;
        self.bytes.extend_from_slice(key);
        self.offsets.push(self.bytes.len());
        self.slots.slots[at] = [hash, len << 32 | (u64::from(number) + 1)];
        if self.slots.is_full(self.len()) {
            self.slots.grow(|slot| slot[0]);
        }
        number
    }

    fn null_number(&mut self) -> u32 {
        *self.null.get_or_insert_with(|| {
            self.offsets.push(self.bytes.len());
            self.offsets.len() as u32 - 2
        })
    }

    pub(super) fn clear(&mut self) {
        self.slots.clear(self.len());
        self.bytes.clear();
        self.offsets.truncate(1);
        self.null = None;
    }

    /// See [`super::KeyTable::keep`].
    pub(super) fn keep(&mut self, kept: &[u32]) {
        let mut end = 0;
        for (to, &from) in kept.iter().enumerate() {
            // What is written lies at or before what is read, and offsets up to `to` are those of kept keys by now.
            let range = self.offsets[from as usize]..self.offsets[from as usize + 1];
            let start = end;
            end += range.len();
            self.bytes.copy_within(range, start);
            self.offsets[to + 1] = end;
        }
        self.offsets.truncate(kept.len() + 1);
        self.offsets.shrink_to(kept.len() + kept.len() / 4);
        self.bytes.truncate(end);
        self.bytes.shrink_to(end + end / 4);
        self.null = number_among(self.null, kept);
        self.slots.reset(kept.len());
        for number in (0..kept.len()).filter(|number| self.null != Some(*number as u32)) {
            let key = slice(&self.bytes, &self.offsets, number);
            let hash = hash_bytes(key);
            self.slots.put(hash, [hash, (key.len() as u64) << 32 | (number as u64 + 1)]);
        }
    }

    pub(super) fn memory(&self) -> usize {
        self.slots.memory() + self.bytes.len() + self.offsets.len() * size_of::<usize>()
    }
}
