//! A small assembler for programs of control groups.
//!
//! It knows the few operations that the programs here are made of, and places to jump to. Registers
//! are the kernel's (Documentation/bpf/standardization/instruction-set.rst): `R0` is the result, `R1` to
//! `R5` are arguments and gone after a call, `R6` to `R9` stay, `STACK` ends the 512 bytes of memory.
//! Words are of 32 bits and in the order of bytes of the processor, as the kernel lays them before
//! a program: an address in the order of the network is compared with [`word`] of its bytes.

use crate::sys::bpf::Instruction;

pub(super) const R0: u8 = 0;
pub(super) const R1: u8 = 1;
pub(super) const R2: u8 = 2;
pub(super) const R3: u8 = 3;
pub(super) const R4: u8 = 4;
pub(super) const R5: u8 = 5;
pub(super) const R6: u8 = 6;
pub(super) const STACK: u8 = 10;

// linux/bpf.h: class | size or source | operation.
pub(super) const LOAD: u8 = 0x61;
pub(super) const STORE: u8 = 0x63;
pub(super) const SET: u8 = 0xb7;
pub(super) const COPY: u8 = 0xbf;
pub(super) const ADD: u8 = 0x07;
pub(super) const AND_WORD: u8 = 0x54;
pub(super) const JUMP: u8 = 0x05;
pub(super) const JUMP_IF_WORD: u8 = 0x16;
pub(super) const JUMP_UNLESS_WORD: u8 = 0x56;
pub(super) const CALL: u8 = 0x85;
pub(super) const EXIT: u8 = 0x95;

/// Functions of the kernel, `enum bpf_func_id`.
#[derive(Clone, Copy, Debug)]
pub(super) enum Function {
    /// Copies bytes of a packet: packet, offset, where to, how many. 0 if they are there.
    LoadPacketBytes = 26,
    /// Binds the socket of a connect to a source: context, address, its length.
    Bind = 64,
    /// Says with which error the system call fails.
    SetReturn = 187,
}

/// Four bytes as the kernel's word of them.
pub(super) const fn word(bytes: [u8; 4]) -> i32 {
    i32::from_ne_bytes(bytes)
}

/// A place to jump to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place(usize);

/// A program while it is written.
#[derive(Debug, Default)]
pub(super) struct Assembler {
    program: Vec<Instruction>,
    /// Where each place is, once that is known.
    places: Vec<Option<usize>>,
    /// Which instruction jumps to which place.
    jumps: Vec<(usize, Place)>,
}

impl Assembler {
    fn push(&mut self, code: u8, to: u8, from: u8, offset: i16, value: i32) {
        self.program
            .push(Instruction::new(code, to, from, offset, value));
    }

    /// A new place, not yet anywhere.
    pub(super) fn place(&mut self) -> Place {
        self.places.push(None);
        Place(self.places.len() - 1)
    }

    /// The next instruction is at this place.
    pub(super) fn here(&mut self, place: Place) {
        if let Some(slot) = self.places.get_mut(place.0) {
            *slot = Some(self.program.len());
        }
    }

    /// `to` becomes the word at `from + offset`.
    pub(super) fn load(&mut self, to: u8, from: u8, offset: i16) {
        self.push(LOAD, to, from, offset, 0);
    }

    /// The word at `to + offset` becomes `from`.
    pub(super) fn store(&mut self, to: u8, offset: i16, from: u8) {
        self.push(STORE, to, from, offset, 0);
    }

    /// `to` becomes `value`.
    pub(super) fn set(&mut self, to: u8, value: i32) {
        self.push(SET, to, 0, 0, value);
    }

    /// `to` becomes `from`.
    pub(super) fn copy(&mut self, to: u8, from: u8) {
        self.push(COPY, to, from, 0, 0);
    }

    /// Adds to a register.
    pub(super) fn add(&mut self, to: u8, value: i32) {
        self.push(ADD, to, 0, 0, value);
    }

    /// Keeps only these bits of a word.
    pub(super) fn and(&mut self, to: u8, value: i32) {
        self.push(AND_WORD, to, 0, 0, value);
    }

    /// Goes on at `place`.
    pub(super) fn jump(&mut self, place: Place) {
        self.jump_by(JUMP, 0, 0, place);
    }

    /// Goes on at `place` if the word is `value`.
    pub(super) fn jump_if(&mut self, register: u8, value: i32, place: Place) {
        self.jump_by(JUMP_IF_WORD, register, value, place);
    }

    /// Goes on at `place` unless the word is `value`.
    pub(super) fn jump_unless(&mut self, register: u8, value: i32, place: Place) {
        self.jump_by(JUMP_UNLESS_WORD, register, value, place);
    }

    fn jump_by(&mut self, code: u8, register: u8, value: i32, place: Place) {
        self.jumps.push((self.program.len(), place));
        self.push(code, register, 0, 0, value);
    }

    /// Calls a function of the kernel.
    pub(super) fn call(&mut self, function: Function) {
        self.push(CALL, 0, 0, 0, function as i32);
    }

    /// Ends with this result.
    pub(super) fn end(&mut self, result: i32) {
        self.set(R0, result);
        self.push(EXIT, 0, 0, 0, 0);
    }

    /// The finished program; `None` if a jump leads nowhere, too far, or back: so each program ends.
    pub(super) fn finish(mut self) -> Option<Vec<Instruction>> {
        for (at, place) in &self.jumps {
            let target = self.places.get(place.0).copied().flatten()?;
            let distance = target.checked_sub(at + 1)?;
            self.program.get_mut(*at)?.offset = i16::try_from(distance).ok()?;
        }
        Some(self.program)
    }
}
