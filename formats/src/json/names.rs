//! Member names of an object, found without comparing with each.
//!
//! Documents of one stream nearly always have the same keys in the same order, wanted or not. So beside the wanted
//! names, an object remembers what it saw at each position of the document before, as bytes: `"price":`. When the
//! next document has the same bytes there, one masked comparison of 16 bytes has read the key, its quotes and the
//! colon. When it has not, the key is read and searched for by length and bytes, and remembered instead.
//!
//! A key that is nobody's name to the letter belongs to the only name that differs from it in the case of ASCII
//! letters. That is found out where a key is searched for, never where one is recognised.

/// Positions that are remembered; documents with more keys are searched from there on.
const POSITIONS: usize = 256;

/// Longest key that is remembered, with quotes and colon.
const KEY_BYTES: usize = 256;

#[derive(Debug)]
pub(crate) struct Names {
    names: Vec<Box<[u8]>>,
    seen: Vec<Seen>,
}

/// The member that a key names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) index: usize,
    /// The key is its name to the letter.
    pub(crate) exact: bool,
}

/// What stood at one position.
#[derive(Debug)]
struct Seen {
    /// The first 16 bytes, with zeros where the key is shorter.
    head: u128,
    /// Ones where `head` has a byte of the key.
    mask: u128,
    /// What follows the first 16 bytes.
    tail: Box<[u8]>,
    len: usize,
    member: Option<Member>,
}

impl Names {
    pub(crate) fn new<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        Names { names: names.map(|name| name.as_bytes().into()).collect(), seen: Vec::new() }
    }

    /// For messages.
    pub(crate) fn name(&self, member: usize) -> String {
        String::from_utf8_lossy(&self.names[member]).into_owned()
    }

    /// When the key remembered for `position` stands at `at`: the position after its colon, and its member.
    #[inline]
    pub(crate) fn expect(&self, input: &[u8], at: usize, position: usize) -> Option<(usize, Option<Member>)> {
        let seen = self.seen.get(position)?;
        let head = input.get(at..)?.first_chunk::<16>()?;
        if u128::from_le_bytes(*head) & seen.mask != seen.head {
            return None;
        }
        if !seen.tail.is_empty() && !input[at + 16..].starts_with(&seen.tail) {
            return None;
        }
        Some((at + seen.len, seen.member))
    }

    /// The member of that name, or the only one whose name is the same in another case.
    pub(crate) fn find(&self, name: &[u8]) -> Option<Member> {
        if let Some(index) = self.names.iter().position(|candidate| **candidate == *name) {
            return Some(Member { index, exact: true });
        }
        let mut alike = (0..self.names.len()).filter(|&index| self.names[index].eq_ignore_ascii_case(name));
        match (alike.next(), alike.next()) {
            (Some(index), None) => Some(Member { index, exact: false }),
            _ => None,
        }
    }

    /// Remembers the bytes of a key, from its quote to its colon.
    pub(crate) fn remember(&mut self, position: usize, key: &[u8], member: Option<Member>) {
        if position >= POSITIONS || position > self.seen.len() || key.len() > KEY_BYTES {
            return;
        }
        let mut head = [0u8; 16];
        let mut mask = [0u8; 16];
        let short = key.len().min(16);
        head[..short].copy_from_slice(&key[..short]);
        mask[..short].fill(0xff);
        let seen = Seen {
            head: u128::from_le_bytes(head),
            mask: u128::from_le_bytes(mask),
            tail: key[short..].into(),
            len: key.len(),
            member,
        };
        match self.seen.get_mut(position) {
            Some(slot) => *slot = seen,
            None => self.seen.push(seen),
        }
    }
}
