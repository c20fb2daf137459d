//! For tests: runs a program as the kernel would, as far as the programs here need it.

use std::collections::BTreeMap;

use super::assembler::{
    ADD, AND_WORD, CALL, COPY, EXIT, JUMP, JUMP_IF_WORD, JUMP_UNLESS_WORD, LOAD, R0, R1, SET,
    STACK, STORE,
};
use crate::sys::bpf::Instruction;

/// Where what the program is told lies, and the end of its stack.
const CONTEXT: u64 = 0x1000;
const STACK_END: u64 = 0x10_000;

/// A processor with what a program is told.
#[derive(Debug, Default)]
pub(super) struct Machine {
    memory: BTreeMap<u64, u32>,
    /// The packet, if that is what the program is about.
    pub(super) packet: Vec<u8>,
    /// The words of the addresses that the kernel was asked to bind to.
    pub(super) bound: Vec<Vec<u32>>,
    /// The error that the system call is to fail with.
    pub(super) errno: Option<i32>,
}

impl Machine {
    pub(super) fn new(context: &[u32]) -> Self {
        let places = (CONTEXT..).step_by(4);
        Self {
            memory: places.zip(context.iter().copied()).collect(),
            ..Self::default()
        }
    }

    /// A word of what the program was told, perhaps changed by it.
    pub(super) fn word(&self, offset: u64) -> u32 {
        self.memory[&(CONTEXT + offset)]
    }

    pub(super) fn run(&mut self, program: &[Instruction]) -> u64 {
        let mut registers = [0u64; 11];
        registers[usize::from(R1)] = CONTEXT;
        registers[usize::from(STACK)] = STACK_END;
        let mut at = 0;
        for _ in 0..=program.len() {
            let step = program[at];
            at += 1;
            let (to, from) = step.registers();
            let (to, from) = (usize::from(to), usize::from(from));
            let address = |base: u64| base.wrapping_add_signed(i64::from(step.offset));
            let value = i64::from(step.value).cast_unsigned();
            let is_equal = registers[to] as u32 == step.value.cast_unsigned();
            let skip = usize::try_from(step.offset).unwrap_or_default();
            match step.code {
                LOAD => registers[to] = u64::from(self.memory[&address(registers[from])]),
                STORE => {
                    self.memory
                        .insert(address(registers[to]), registers[from] as u32);
                }
                SET => registers[to] = value,
                COPY => registers[to] = registers[from],
                ADD => registers[to] = registers[to].wrapping_add(value),
                AND_WORD => registers[to] &= u64::from(step.value.cast_unsigned()),
                JUMP => at += skip,
                JUMP_IF_WORD if is_equal => at += skip,
                JUMP_UNLESS_WORD if !is_equal => at += skip,
                JUMP_IF_WORD | JUMP_UNLESS_WORD => {}
                CALL => registers[usize::from(R0)] = self.call(step.value, &registers),
                EXIT => return registers[usize::from(R0)],
                other => panic!("unknown instruction {other:#x}"),
            }
        }
        panic!("the program does not end");
    }

    fn call(&mut self, function: i32, registers: &[u64; 11]) -> u64 {
        let number = |register: usize| usize::try_from(registers[register]).unwrap();
        match function {
            26 => {
                let bytes = self.packet.get(number(2)..number(2) + number(4));
                let Some(bytes) = bytes else {
                    return u64::MAX;
                };
                for (index, part) in bytes.chunks(4).enumerate() {
                    let word = u32::from_ne_bytes(part.try_into().unwrap());
                    self.memory.insert(registers[3] + 4 * index as u64, word);
                }
                0
            }
            64 => {
                let words = (0..registers[3] / 4).map(|n| self.memory[&(registers[2] + 4 * n)]);
                self.bound.push(words.collect());
                0
            }
            187 => {
                self.errno = Some(-(registers[1] as i32));
                0
            }
            other => panic!("unknown function {other}"),
        }
    }
}
