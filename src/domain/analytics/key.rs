//! Names as keys of a table: what engines call things may be long, and the keys of some databases may not.

use std::borrow::Cow;

/// The longest key, in bytes.
pub const MAX_KEY: usize = 255;

/// `name` itself where it is short enough, else a fingerprint of it (FNV-1a with 128 bits, in hexadecimal digits).
///
/// ```
/// use plimsoll::domain::analytics::key::key;
/// assert_eq!(key("order_monitor"), "order_monitor");
/// assert_eq!(key(&"x".repeat(1024)).len(), 33);
/// ```
#[must_use]
pub fn key(name: &str) -> Cow<'_, str> {
    // a name that looks like a fingerprint gets one of its own
    if name.len() <= MAX_KEY && !name.starts_with('#') {
        return Cow::Borrowed(name);
    }
    Cow::Owned(format!("#{:032x}", fingerprint(name.as_bytes())))
}

/// FNV-1a, <https://datatracker.ietf.org/doc/html/draft-eastlake-fnv>: the same for ever, which std's hashes are not.
fn fingerprint(bytes: &[u8]) -> u128 {
    const BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    bytes.iter().fold(BASIS, |hash, byte| (hash ^ u128::from(*byte)).wrapping_mul(PRIME))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fingerprint_is_the_published_one() {
        assert_eq!(fingerprint(b""), 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d);
        assert_eq!(fingerprint(b"a"), 0xd228_cb69_6f1a_8caf_7891_2b70_4e4a_8964);
    }

    #[test]
    fn long_names_differ_though_they_begin_alike() {
        let long = "x".repeat(300);
        let other = format!("{long}y");
        assert_ne!(key(&long), key(&other));
        assert!(key(&long).len() <= MAX_KEY);
        assert_eq!(key(&"é".repeat(127)), "é".repeat(127));
        assert_ne!(key(&key(&long)), key(&long), "nobody takes another's key by its name");
    }
}
