//! scratch
use std::time::Instant;
use criu_images::{Image, json, pagemap::Pagemap, schema::PagemapEntry};
fn main() {
    let mut b = b"\x19\x43\x56\x54\x25\x40\x08\x56\x02\0\0\0\x08\x01".to_vec();
    for i in 0..262_144u64 {
        let mut m = vec![0x08];
        let mut v = 0x7f00_0000_0000u64 + i * 8192;
        while v > 127 { m.push(v as u8 | 128); v >>= 7 }
        m.push(v as u8);
        m.extend([0x10, 0, 0x20, 4, 0x28, 1]);
        b.extend((m.len() as u32).to_le_bytes());
        b.extend(m);
    }
    println!("{} bytes", b.len());
    for _ in 0..3 {
        let t = Instant::now();
        let p = Pagemap::parse(&b).unwrap();
        println!("pagemap {} runs {:?}", p.runs.len(), t.elapsed());
        let t = Instant::now();
        let n = Image::parse(&b).unwrap().entries::<PagemapEntry>().filter(|e| e.is_ok()).count();
        println!("typed {n} {:?}", t.elapsed());
        for pretty in [false, true] {
            let t = Instant::now();
            let mut out = Vec::new();
            json::decode(&Image::parse(&b).unwrap(), &json::Options { pretty, ..Default::default() }, &mut out).unwrap();
            println!("decode pretty {pretty} {} {:?}", out.len(), t.elapsed());
            let t = Instant::now();
            let mut again = Vec::new();
            json::encode(&out, &mut again).unwrap();
            println!("encode {:?} {}", t.elapsed(), again == b);
        }
    }
}
