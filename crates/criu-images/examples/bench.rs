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
    for _ in 0..3 {
        let t = Instant::now();
        let p = Pagemap::parse(&b).unwrap();
        println!("pagemap {} runs {:?}", p.runs.len(), t.elapsed());
        let t = Instant::now();
        let n = Image::parse(&b).unwrap().entries::<PagemapEntry>().filter(|e| e.is_ok()).count();
        println!("typed {n} {:?}", t.elapsed());
        let t = Instant::now();
        let mut out = Vec::new();
        json::decode(&Image::parse(&b).unwrap(), &json::Options::default(), &mut out).unwrap();
        println!("decode {} {:?}", out.len(), t.elapsed());
        let t = Instant::now();
        let mut again = Vec::new();
        json::encode(&out, &mut again).unwrap();
        println!("encode {:?} {}", t.elapsed(), again == b);
    }
    // hostile
    let entry = |kind: &[u8], m: &[u8]| [&b"\x19\x43\x56\x54"[..], kind, &(m.len() as u32).to_le_bytes(), m].concat();
    let n = 2_000_000usize;
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("threads unpacked", entry(b"\x30\x30\x27\x50", &[&[8, 1, 16, 1, 24, 1, 32, 1][..], &[0x28, 1].repeat(n)].concat())),
        ("threads then pid", entry(b"\x30\x30\x27\x50", &[&[16, 1, 24, 1, 32, 1][..], &[0x28, 1].repeat(400_000), &[8, 1]].concat())),
        ("unknown", entry(b"\x30\x30\x27\x50", &[&[8, 1, 16, 1, 24, 1, 32, 1][..], &[0x78, 1].repeat(n)].concat())),
        ("pid again", entry(b"\x30\x30\x27\x50", &[&[16, 1, 24, 1, 32, 1][..], &[8, 1].repeat(500_000)].concat())),
        ("tc pieces", entry(b"\x47\x38\x05\x55", &[&[8, 1][..], &[0x1a, 13, 8, 1, 16, 0, 24, 0, 32, 0, 40, 0, 0x32, 1, b'x'].repeat(200_000)].concat())),
    ];
    for (name, bytes) in cases {
        let t = Instant::now();
        let image = Image::parse(&bytes).unwrap();
        let mut out = Vec::new();
        let r = json::decode(&image, &json::Options { salvage: true, ..Default::default() }, &mut out).map_err(|e| e.to_string());
        let d = t.elapsed();
        let mut again = Vec::new();
        let e = json::encode(&out, &mut again).map(|_| ()).map_err(|e| e.to_string());
        println!("{name}: {} bytes, text {}, decode {d:?} {r:?}, encode {:?} {e:?} {}", bytes.len(), out.len(), t.elapsed() - d, again == bytes);
    }
    let s = std::fs::read_to_string("/proc/self/status").unwrap();
    println!("{}", s.lines().find(|l| l.starts_with("VmHWM")).unwrap());
}
