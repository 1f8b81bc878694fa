//! Raw images of network namespaces against what `ip`, `conntrack`, `iptables-save` and `nft` said of the living ones.

#![cfg(feature = "netlink")]
#![allow(clippy::unwrap_used)] // a failure fails the test

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use criu_images::json::{self, Options};
use criu_images::raw;
use serde_json::Value;

/// The images of a dump by their base names, and what was seen live.
struct Dump {
    name: String,
    images: BTreeMap<String, Vec<u8>>,
    live: String,
}

impl Dump {
    fn read(name: &str, archive: &Path, live: &Path) -> Self {
        let images = common::images(archive).into_iter();
        let images =
            images.map(|(path, bytes)| (path.rsplit('/').next().unwrap().to_owned(), bytes)).collect();
        Self { name: name.to_owned(), images, live: std::fs::read_to_string(live).unwrap() }
    }

    /// The lines of one part of what was seen live.
    fn section(&self, title: &str) -> Vec<&str> {
        let start = format!("## {title}\n");
        let at = self.live.find(&start).unwrap_or_else(|| panic!("{}: no {title}", self.name)) + start.len();
        self.live[at..].lines().take_while(|line| !line.starts_with("## ")).collect()
    }

    /// The names of interfaces by their numbers.
    fn interfaces(&self) -> BTreeMap<u64, String> {
        let line = |line: &str| {
            let (number, rest) = line.split_once(": ")?;
            let name = rest.split([':', '@']).next()?;
            Some((number.parse().ok()?, name.to_owned()))
        };
        self.section("ip -d addr").into_iter().filter_map(line).collect()
    }

    /// The only image whose name begins so, as JSON.
    fn image(&self, start: &str) -> Value {
        let (name, bytes) = self.images.iter().find(|(name, _)| name.starts_with(start)).unwrap();
        let kind = raw::kind(Some(name.as_bytes()), bytes).unwrap();
        let mut text = Vec::new();
        json::raw(&raw::read(kind, bytes).unwrap(), &Options::default(), &mut text).unwrap();
        let image: Value = serde_json::from_slice(&text).unwrap();
        assert_eq!((&image["magic"], &image["raw"]), (&Value::Null, &kind.name.into()));
        image
    }

    fn entries(&self, start: &str) -> Vec<Value> {
        self.image(start)["entries"].as_array().unwrap().clone()
    }
}

/// The dump in the repository, and those of all releases in the corpus.
fn dumps() -> Vec<Dump> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/images");
    let mut dumps = vec![Dump::read("netns", &root.join("netns.tar.zst"), &root.join("netns.live.txt"))];
    if let Some(corpus) = common::corpus() {
        let root = corpus.join("checkpoints/generations");
        for release in ["criu317", "criu411", "criu421", "criu43"] {
            for kind in ["netns", "userns"] {
                let name = format!("{release}-{kind}");
                let live = root.join(format!("truth/{name}.live.txt"));
                dumps.push(Dump::read(&name, &root.join(format!("{name}.tar.zst")), &live));
            }
        }
    }
    dumps
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_default()
}

#[test]
fn addresses_are_those_that_ip_showed() {
    for dump in dumps() {
        let interfaces = dump.interfaces();
        let ours: Vec<_> = dump
            .entries("ifaddr-")
            .iter()
            .map(|entry| {
                // inet 10.88.8.1/24 scope global veth1:a
                let end = match text(entry, "family") {
                    "inet" => text(entry, "label").to_owned(),
                    _ => match text(entry, "protocol") {
                        "" => String::new(),
                        protocol => format!("proto {protocol} "),
                    },
                };
                let index = entry["ifindex"].as_u64().unwrap();
                let address =
                    format!("{} {}/{}", text(entry, "family"), text(entry, "address"), entry["prefixlen"]);
                (
                    interfaces[&index].clone(),
                    format!("{address} scope {} {end}", text(entry, "scope")).trim().to_owned(),
                )
            })
            .collect();
        let (mut interface, mut live) = (String::new(), Vec::new());
        for line in dump.section("ip -d addr") {
            if !line.starts_with(' ') {
                interface = line.split(": ").nth(1).unwrap().split('@').next().unwrap().to_owned();
            }
            let line = line.trim();
            if line.starts_with("inet") {
                live.push((interface.clone(), line.to_owned()));
            }
        }
        let (ours, live): (BTreeSet<_>, BTreeSet<_>) =
            (ours.into_iter().collect(), live.into_iter().collect());
        assert!(live.len() > 3);
        // Older releases of ip don't print who made an address.
        let knows_protocols = live.iter().any(|(_, line)| line.contains(" proto "));
        let without = |line: String| match line.split_once(" proto ") {
            Some((start, _)) if !knows_protocols => start.to_owned(),
            _ => line,
        };
        let ours: BTreeSet<_> = ours.into_iter().map(|(name, line)| (name, without(line))).collect();
        assert_eq!(ours, live, "{}", dump.name);
    }
}

/// A route as `ip route` prints it.
fn route(entry: &Value, interfaces: &BTreeMap<u64, String>) -> String {
    let mut line = text(entry, "dst").to_owned();
    if text(entry, "type") != "unicast" {
        line = format!("{} {line}", text(entry, "type"));
    }
    let mut add = |word: &str, value: String| line += &format!(" {word} {value}");
    if let Some(gateway) = entry["gateway"].as_str() {
        add("via", gateway.to_owned());
    }
    if let Some(index) = entry["oif"].as_u64() {
        add("dev", interfaces[&index].clone());
    }
    if text(entry, "protocol") != "boot" {
        add("proto", text(entry, "protocol").to_owned());
    }
    if text(entry, "family") == "inet" && text(entry, "scope") != "global" {
        add("scope", text(entry, "scope").to_owned());
    }
    if let Some(source) = entry["prefsrc"].as_str() {
        add("src", source.to_owned());
    }
    if let Some(metric) = entry["metric"].as_u64() {
        add("metric", metric.to_string());
    }
    if let Some(preference) = entry["pref"].as_str() {
        add("pref", preference.to_owned());
    }
    line
}

#[test]
fn routes_are_those_that_ip_showed() {
    for dump in dumps() {
        let interfaces = dump.interfaces();
        let sections = [
            ("route-", "ip route show table all", "inet"),
            ("route6-", "ip -6 route show table all", "inet6"),
        ];
        for (image, title, family) in sections {
            let ours: BTreeSet<_> = dump
                .entries(image)
                .iter()
                .map(|entry| {
                    assert_eq!((text(entry, "family"), &entry["table"]), (family, &254.into()));
                    route(entry, &interfaces)
                })
                .collect();
            // The image holds the main table only; `ip route` shows both families.
            let live = dump.section(title).into_iter().map(str::trim);
            let is_main =
                |line: &&str| !line.contains(" table ") && (family == "inet6") == line.contains(" pref ");
            let live: BTreeSet<_> = live.filter(is_main).map(str::to_owned).collect();
            assert!(!live.is_empty());
            assert_eq!(ours, live, "{} {image}", dump.name);
        }
    }
}

#[test]
fn rules_are_those_that_ip_showed() {
    for dump in dumps() {
        let ours: Vec<_> = dump
            .entries("rule-")
            .iter()
            .map(|entry| {
                let table = match entry["table"].as_u64().unwrap() {
                    255 => "local".to_owned(),
                    254 => "main".to_owned(),
                    253 => "default".to_owned(),
                    number => number.to_string(),
                };
                format!(
                    "{}:\tfrom {} {} {table}",
                    entry["priority"],
                    text(entry, "src"),
                    text(entry, "action")
                )
            })
            .collect();
        let live: Vec<_> = dump.section("ip rule").into_iter().map(str::trim).collect();
        assert_eq!(ours, live, "{}", dump.name);
    }
}

/// One direction of a connection as `conntrack -L` prints it.
fn tuple(tuple: &Value) -> String {
    format!(
        "src={} dst={} sport={} dport={}",
        text(tuple, "src"),
        text(tuple, "dst"),
        tuple["sport"],
        tuple["dport"]
    )
}

#[test]
fn connections_are_those_that_conntrack_showed() {
    for dump in dumps() {
        for image in ["netns-ct-", "netns-exp-"] {
            let ours: BTreeSet<_> = dump
                .entries(image)
                .iter()
                .map(|entry| {
                    let state =
                        entry["tcp"]["state"].as_str().map(|state| format!("{state} ")).unwrap_or_default();
                    let replied = entry["status"].as_array().unwrap().iter().any(|flag| flag == "SEEN_REPLY");
                    let unreplied = if replied { "" } else { "[UNREPLIED] " };
                    let (there, back) = (tuple(&entry["orig"]), tuple(&entry["reply"]));
                    let protocol = text(&entry["orig"], "protocol");
                    assert!(entry["timeout"].as_u64().unwrap() > 90_000);
                    format!("{protocol} {state}{there} {unreplied}{back} mark={}", entry["mark"])
                })
                .collect();
            // udp      17 99988 src=... [UNREPLIED] src=... mark=0 use=1
            let line = |line: &str| {
                let mut words: Vec<_> = line.split_whitespace().collect();
                words.drain(1..3);
                words.pop();
                words.join(" ")
            };
            let live: BTreeSet<_> = dump
                .section("conntrack -L")
                .into_iter()
                .filter(|it| it.contains(" src="))
                .map(line)
                .collect();
            assert!(live.len() > 1);
            assert_eq!(ours, live, "{} {image}", dump.name);
        }
    }
}

#[test]
fn rules_of_packet_filters_are_there_as_text_and_as_lines() {
    for dump in dumps() {
        let images = [
            ("iptables-", "iptables-legacy-save"),
            ("ip6tables-", "ip6tables-legacy-save"),
            ("nftables-", "nft list ruleset"),
        ];
        for (image, title) in images {
            let shown = dump.image(image);
            let lines: Vec<_> =
                shown["entries"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
            assert_eq!(lines.join("\n"), text(&shown, "text").trim_end_matches('\n'));
            let rules = dump
                .section(title)
                .into_iter()
                .filter(|line| line.starts_with("-A") || line.contains("ct state"));
            for rule in rules {
                assert!(lines.contains(&rule), "{}: {rule} is not in {image}: {lines:?}", dump.name);
            }
        }
    }
}

/// Reads a raw image, damaged or not: its JSON with what is whole, and the error.
fn salvaged(name: &str, bytes: &[u8]) -> (Value, Option<String>) {
    let kind = raw::kind(Some(name.as_bytes()), bytes).unwrap();
    let mut text = Vec::new();
    let options = Options { salvage: true, ..Options::default() };
    let error = json::raw(&raw::read(kind, bytes).unwrap(), &options, &mut text).err();
    (serde_json::from_slice(&text).unwrap(), error.map(|error| error.to_string()))
}

#[test]
fn lengths_that_cannot_be_end_the_walk() {
    let dump = &dumps()[0];
    let whole = &dump.images["ifaddr-10.img"];
    for cut in 0..whole.len() {
        let (image, error) = salvaged("ifaddr-10.img", &whole[..cut]);
        let entries = image["entries"].as_array().unwrap().len();
        let at_border = cut == 0 || (cut >= 4 && error.is_none());
        assert_eq!(error.is_none(), at_border, "cut to {cut}: {error:?}");
        assert!(entries < 9 && error.is_none() == image["coldcase"].is_null());
    }
    let (image, error) = salvaged("ifaddr-10.img", &[&whole[..4], &[15, 0, 0, 0], &whole[8..]].concat());
    assert_eq!(image["entries"], Value::Array(Vec::new()));
    let length = whole.len() - 4;
    assert_eq!(
        error.unwrap(),
        format!(
            "entry 0 of IFADDR, byte 4: a netlink message of 15 bytes, where 16 to {length} are possible (damaged or cut)"
        )
    );
    let (_, error) = salvaged("route-10.img", whole);
    assert_eq!(error.unwrap(), "the name says ROUTE, the magic 0x47361222 at byte 0 does not");
}

#[test]
fn what_is_not_understood_is_shown_as_bytes() {
    let word = 0x4736_1222u32;
    // A message of an unknown type, and an address whose only attribute is longer than the message.
    let unknown = [&[20, 0, 0, 0, 99, 0][..], &[0; 10], b"abcd"].concat();
    let broken = [&[28, 0, 0, 0, 20, 0][..], &[0; 10], &[2, 8, 0, 0, 1, 0, 0, 0], &[200, 0, 1, 0]].concat();
    let (image, error) = salvaged("ifaddr-1.img", &[&word.to_le_bytes()[..], &unknown, &broken].concat());
    assert_eq!(error, None);
    let entries = image["entries"].as_array().unwrap();
    assert_eq!((text(&entries[0], "message"), text(&entries[0], "bytes")), ("99", "YWJjZA==\n"));
    assert!(
        !text(&entries[1], "undecoded").is_empty() && text(&entries[1], "bytes").starts_with("AggAAAEAAADI")
    );
    // The other byte order: lengths are read, contents are not.
    let swapped = [&[0, 0, 0, 20, 0, 20][..], &[0; 10], b"abcd"].concat();
    let (image, error) = salvaged("ifaddr-1.img", &[&word.to_be_bytes()[..], &swapped].concat());
    assert_eq!(error, None);
    let entry = &image["entries"][0];
    assert_eq!((text(entry, "message"), text(entry, "bytes")), ("RTM_NEWADDR", "YWJjZA==\n"));
}
