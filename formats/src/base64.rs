//! Base64 with the standard alphabet, as JSON and CSV carry binary values.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The value of each byte of the alphabet; 255 for others.
const VALUES: [u8; 256] = {
    let mut values = [255u8; 256];
    let mut i = 0;
    while i < 64 {
        values[ALPHABET[i] as usize] = i as u8;
        i += 1;
    }
    values
};

/// Appends `bytes`, padded with `=`.
pub(crate) fn encode(bytes: &[u8], out: &mut Vec<u8>) {
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().enumerate().fold(0u32, |word, (i, byte)| word | u32::from(*byte) << (16 - 8 * i));
        for i in 0..4 {
            let symbol = ALPHABET[(word >> (18 - 6 * i)) as usize & 63];
            out.push(if i <= chunk.len() { symbol } else { b'=' });
        }
    }
}

/// Appends the bytes that `text` stands for; padding may be left out. `None`: it is not base64.
pub(crate) fn decode(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let text = match text {
        [body @ .., b'=', b'='] if body.len() % 4 == 2 => body,
        [body @ .., b'='] if body.len() % 4 == 3 => body,
        _ => text,
    };
    for chunk in text.chunks(4) {
        let mut word = 0u32;
        for (i, symbol) in chunk.iter().enumerate() {
            let value = VALUES[*symbol as usize];
            if value == 255 {
                return None;
            }
            word |= u32::from(value) << (18 - 6 * i);
        }
        let bytes = word.to_be_bytes();
        match chunk.len() {
            4 => out.extend_from_slice(&bytes[1..4]),
            3 if word & 0xff == 0 => out.extend_from_slice(&bytes[1..3]),
            2 if word & 0xffff == 0 => out.push(bytes[1]),
            _ => return None,
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values_both_ways() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            let mut out = Vec::new();
            encode(bytes.as_bytes(), &mut out);
            assert_eq!(out, text.as_bytes());
            for text in [text, text.trim_end_matches('=')] {
                let mut back = Vec::new();
                assert_eq!(decode(text.as_bytes(), &mut back), Some(()));
                assert_eq!(back, bytes.as_bytes());
            }
        }
    }

    #[test]
    fn what_is_not_base64_is_refused() {
        for text in ["a", "Zg=", "Zh==", "Z!==", "====", "Zm9v="] {
            assert_eq!(decode(text.as_bytes(), &mut Vec::new()), None, "{text}");
        }
    }
}
