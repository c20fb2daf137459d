//! Numbers as tar headers and PAX records write them.

use crate::types::Timestamp;

/// A number of a header field: octal digits padded with blanks or NULs, or base-256 (GNU) when
/// the first byte's high bit is set: two's complement, most significant byte first.
///
/// An empty field is 0. `None` if it is not a number or does not fit in 64 signed bits.
pub(super) fn field(bytes: &[u8]) -> Option<i64> {
    match bytes.first() {
        Some(&first) if first & 0x80 != 0 => base_256(bytes),
        _ => octal(bytes),
    }
}

/// Like [`field`], for a quantity that cannot be negative.
pub(super) fn unsigned_field(bytes: &[u8]) -> Option<u64> {
    u64::try_from(field(bytes)?).ok()
}

fn base_256(bytes: &[u8]) -> Option<i64> {
    let (&first, rest) = bytes.split_first()?;
    // Bit 7 only marks the form; bit 6 is the sign.
    let negative = first & 0x40 != 0;
    let mut value: i128 = if negative {
        i128::from(first | 0x80) - 256
    } else {
        i128::from(first & 0x3f)
    };
    for &byte in rest {
        value = value.checked_mul(256)?.checked_add(i128::from(byte))?;
        if value > i128::from(i64::MAX) || value < i128::from(i64::MIN) {
            return None;
        }
    }
    i64::try_from(value).ok()
}

fn octal(bytes: &[u8]) -> Option<i64> {
    let blank = |byte: &u8| *byte == b' ' || *byte == 0;
    let start = bytes
        .iter()
        .position(|byte| !blank(byte))
        .unwrap_or(bytes.len());
    let digits = bytes.get(start..)?;
    let end = digits.iter().position(blank).unwrap_or(digits.len());
    let mut value: i64 = 0;
    for &digit in digits.get(..end)? {
        if !(b'0'..=b'7').contains(&digit) {
            return None;
        }
        value = value.checked_mul(8)?.checked_add(i64::from(digit - b'0'))?;
    }
    Some(value)
}

/// A whole decimal number, such as PAX `size` and `uid`.
pub(super) fn decimal(bytes: &[u8]) -> Option<u64> {
    if bytes.is_empty() {
        return None;
    }
    bytes.iter().try_fold(0_u64, |value, &digit| {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit <= 9)?;
        value.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// A PAX time: `[-]seconds[.fraction]`; digits after the ninth are dropped, towards the past.
pub(super) fn time(bytes: &[u8]) -> Option<Timestamp> {
    let (negative, bytes) = match bytes.split_first()? {
        (b'-', rest) => (true, rest),
        _ => (false, bytes),
    };
    let mut parts = bytes.splitn(2, |byte| *byte == b'.');
    let seconds = i64::try_from(decimal(parts.next()?)?).ok()?;
    let mut nanoseconds = 0_u32;
    let mut unit = 100_000_000_u32;
    let mut cut_off = false;
    for &digit in parts.next().unwrap_or_default() {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit <= 9)?;
        cut_off |= unit == 0 && digit != 0;
        nanoseconds += unit * u32::from(digit);
        unit /= 10;
    }
    if !negative {
        return Some(Timestamp {
            seconds,
            nanoseconds,
        });
    }
    // -1.25 s is one and a quarter before the epoch: 2 whole seconds back, then 0.75 on.
    let before = nanoseconds + u32::from(cut_off);
    Some(if before == 0 {
        Timestamp {
            seconds: -seconds,
            nanoseconds: 0,
        }
    } else {
        Timestamp {
            seconds: -seconds - 1,
            nanoseconds: 1_000_000_000 - before,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_in_octal_and_base_256() {
        let cases: [(&[u8], Option<i64>); 14] = [
            (b"0000644\0", Some(0o644)),
            (b"   644 \0", Some(0o644)),
            (b"644\0junk", Some(0o644)),
            (b"\0\0\0\0", Some(0)),
            (b"", Some(0)),
            (b"77777777777 ", Some(0o77_777_777_777)),
            (b"0000648\0", None),
            (b"-1", None),
            (b"777777777777777777777777", None),
            (b"\x80\0\0\0\0\0\0\x01\0\0\0\0", Some(1 << 32)),
            (
                b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
                Some(-1),
            ),
            (
                b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00",
                Some(-256),
            ),
            (b"\x80\0\0\0\x80\0\0\0\0\0\0\0", None),
            (b"\xbf\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", None),
        ];
        for (bytes, value) in cases {
            assert_eq!(field(bytes), value, "{}", bytes.escape_ascii());
        }
        assert_eq!(unsigned_field(b"\xff\xff"), None);
    }

    #[test]
    fn pax_times() {
        let at = |seconds, nanoseconds| {
            Some(Timestamp {
                seconds,
                nanoseconds,
            })
        };
        let cases: [(&[u8], Option<Timestamp>); 12] = [
            (b"0", at(0, 0)),
            (b"1700000000.123456789", at(1_700_000_000, 123_456_789)),
            (b"1.5", at(1, 500_000_000)),
            (b"1.", at(1, 0)),
            (b"1.0000000019", at(1, 1)),
            (b"-1.25", at(-2, 750_000_000)),
            (b"-3", at(-3, 0)),
            (b"-0.0000000001", at(-1, 999_999_999)),
            (b"", None),
            (b"-", None),
            (b"1e3", None),
            (b"99999999999999999999", None),
        ];
        for (bytes, value) in cases {
            assert_eq!(time(bytes), value, "{}", bytes.escape_ascii());
        }
    }
}
