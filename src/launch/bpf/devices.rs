//! Which devices a WPAR may open: one list, said to either version of control groups.

use std::fmt;

use super::assembler::{Assembler, R1, R2, R3, R4};
use crate::sys::bpf::Instruction;

/// Whether a device is of characters or of blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::launch) enum DeviceKind {
    Character,
    Block,
}

/// A device that may be opened and made, or all of one driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::launch) struct DeviceRule {
    pub(in crate::launch) kind: DeviceKind,
    pub(in crate::launch) major: u32,
    /// `None` for all.
    pub(in crate::launch) minor: Option<u32>,
}

/// As the controller of the first version reads it.
impl fmt::Display for DeviceRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            DeviceKind::Character => 'c',
            DeviceKind::Block => 'b',
        };
        match self.minor {
            Some(minor) => write!(f, "{kind} {}:{minor} rwm", self.major),
            None => write!(f, "{kind} {}:* rwm", self.major),
        }
    }
}

const fn character(major: u32, minor: u32) -> DeviceRule {
    DeviceRule {
        kind: DeviceKind::Character,
        major,
        minor: Some(minor),
    }
}

/// Devices that every WPAR may open: null zero full random urandom, tty console ptmx, ptys.
pub(in crate::launch) const ALWAYS: [DeviceRule; 9] = [
    character(1, 3),
    character(1, 5),
    character(1, 7),
    character(1, 8),
    character(1, 9),
    character(5, 0),
    character(5, 1),
    character(5, 2),
    DeviceRule {
        kind: DeviceKind::Character,
        major: 136,
        minor: None,
    },
];

// struct bpf_cgroup_dev_ctx: the kind in the lower half of a word, what is asked for in the upper;
// major; minor.
const KIND: i16 = 0;
const MAJOR: i16 = 4;
const MINOR: i16 = 8;
const BLOCK: i32 = 1;
const CHARACTER: i32 = 2;

/// A program that allows what `rules` do, and nothing else.
pub(super) fn program(rules: &[DeviceRule]) -> Option<Vec<Instruction>> {
    let mut code = Assembler::default();
    code.load(R2, R1, KIND);
    code.and(R2, 0xffff);
    code.load(R3, R1, MAJOR);
    code.load(R4, R1, MINOR);
    let allowed = code.place();
    for rule in rules {
        let next = code.place();
        let kind = match rule.kind {
            DeviceKind::Character => CHARACTER,
            DeviceKind::Block => BLOCK,
        };
        code.jump_unless(R2, kind, next);
        code.jump_unless(R3, rule.major.cast_signed(), next);
        match rule.minor {
            Some(minor) => code.jump_if(R4, minor.cast_signed(), allowed),
            None => code.jump(allowed),
        }
        code.here(next);
    }
    code.end(0);
    code.here(allowed);
    code.end(1);
    code.finish()
}

#[cfg(test)]
mod tests {
    use super::super::machine::Machine;
    use super::*;

    fn is_allowed(rules: &[DeviceRule], kind: i32, major: u32, minor: u32) -> bool {
        let program = program(rules).unwrap();
        // Reading and writing is asked for.
        let words = [(kind | 6 << 16).cast_unsigned(), major, minor];
        Machine::new(&words).run(&program) == 1
    }

    #[test]
    fn both_versions_are_told_the_same() {
        let disk = DeviceRule {
            kind: DeviceKind::Block,
            major: 253,
            minor: Some(0),
        };
        assert_eq!(disk.to_string(), "b 253:0 rwm");
        assert_eq!(ALWAYS[0].to_string(), "c 1:3 rwm");
        assert_eq!(ALWAYS[8].to_string(), "c 136:* rwm");
        let mut rules = ALWAYS.to_vec();
        rules.push(disk);
        for (kind, major, minor, expected) in [
            (CHARACTER, 1, 3, true),
            (CHARACTER, 136, 77, true),
            (BLOCK, 253, 0, true),
            (CHARACTER, 253, 0, false),
            (BLOCK, 253, 1, false),
            (BLOCK, 1, 3, false),
            (CHARACTER, 1, 1, false),
            (CHARACTER, 1, 11, false),
            (CHARACTER, 10, 229, false),
            (BLOCK, 8, 0, false),
        ] {
            assert_eq!(
                is_allowed(&rules, kind, major, minor),
                expected,
                "{kind} {major}:{minor}"
            );
        }
        assert!(!is_allowed(&[], CHARACTER, 1, 3));
    }
}
