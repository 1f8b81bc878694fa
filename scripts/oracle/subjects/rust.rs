//! Threads of Rust's standard library: one waits for a message, one for a lock, one sleeps.

use std::sync::{Mutex, mpsc};
use std::time::Duration;
use std::{env, fs, thread};

#[inline(never)]
fn down(levels: u32, last: &dyn Fn()) {
    if levels == 0 { last() } else { down(levels - 1, last) }
    std::hint::black_box(levels);
}

fn main() {
    let (_sender, receiver) = mpsc::channel::<u8>();
    let lock: &'static Mutex<u8> = Box::leak(Box::new(Mutex::new(0)));
    let _held = lock.lock();
    thread::spawn(move || down(4, &|| assert!(receiver.recv().is_err())));
    thread::spawn(move || down(3, &|| *lock.lock().expect("the lock") += 1));
    thread::sleep(Duration::from_millis(200));
    fs::write(env::args().nth(1).expect("the file that says that all is ready"), "").expect("written");
    down(2, &|| thread::sleep(Duration::from_secs(86_400)));
}
