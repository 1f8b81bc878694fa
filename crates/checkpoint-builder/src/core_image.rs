//! The core image of a task of one thread that sleeps.

use std::iter::repeat_n;

use crate::wire::Message;

/// The system call number of nanosleep(2) on x86-64.
const NANOSLEEP: u64 = 35;
const UNLIMITED: u64 = u64::MAX;

/// A task of a name, with its instruction and stack pointers.
pub(crate) fn core(name: &str, ip: u64, sp: u64) -> Message {
    // The order of the fields is that of the kernel's user_regs_struct.
    let mut registers = [0; 27];
    for (field, value) in
        [(11, NANOSLEEP), (16, NANOSLEEP), (17, ip), (18, 0x33), (19, 0x246), (20, sp), (21, 0x2b)]
    {
        registers[field - 1] = value;
    }
    let registers = (1..).zip(registers).fold(Message::new(), |all, (field, value)| all.number(field, value));
    let floats = Message::new()
        .number(1, 0x37f)
        .numbers(2..=6, 0)
        .number(7, 0x1f80)
        .number(8, 0xffff)
        .list(9, repeat_n(0, 32))
        .list(10, repeat_n(0, 64));
    let x86 = Message::new().number(1, 0).message(2, &registers).message(3, &floats);

    let timer = Message::new().numbers(1..=4, 0);
    let timers = (1..=3).fold(Message::new(), |timers, field| timers.message(field, &timer));
    let limit = Message::new().numbers(1..=2, UNLIMITED);
    let limits = (0..16).fold(Message::new(), |limits, _| limits.message(1, &limit));
    let task = Message::new()
        .number(1, 1) // alive
        .numbers(2..=5, 0)
        .bytes(6, name.as_bytes())
        .message(7, &timers)
        .message(8, &limits)
        .number(9, 1);
    let credentials = (9..=12)
        .fold(Message::new().numbers(1..=8, 0), |all, field| all.list(field, repeat_n(0, 2)))
        .number(13, 0);
    let thread = Message::new()
        .numbers(1..=2, 0)
        .signed(3, 0)
        .number(4, 0)
        .message(10, &credentials)
        .bytes(13, name.as_bytes());
    Message::new().number(1, 1).message(2, &x86).message(3, &task).message(5, &thread)
}
