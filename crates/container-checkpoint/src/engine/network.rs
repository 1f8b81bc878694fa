//! The networks of a Podman container: `network.status`.

use std::net::IpAddr;

use serde_json::{Map, Value};

use super::document::Document;
use super::json::short;
use crate::container::{Interface, InterfaceAddress, Network};
use crate::gap::Field;

/// Reads `network.status`: Podman 4's map of networks, or the list of CNI results of Podman 3 and before;
/// `null` is no network.
///
/// What makes no sense is left out, with a gap.
pub(super) fn read(status: &Document<'_>) -> Field<Vec<Network>> {
    match status.root() {
        Value::Null if status.is_whole() => Field::Known(Vec::new()),
        Value::Null => status.nothing(),
        Value::Array(results) => {
            Field::Known(results.iter().map(|result| cni_result(status, result)).collect())
        }
        Value::Object(result) if result.contains_key("cniVersion") => {
            Field::Known(vec![cni_result(status, status.root())])
        }
        Value::Object(networks) => Field::Known(
            networks.iter().map(|(name, network)| podman_network(status, name, network)).collect(),
        ),
        other => status.wrong(&[], "a map of networks", other),
    }
}

/// `{interfaces: {IFNAME: {subnets: [{ipnet, gateway?}], mac_address}}}`
fn podman_network(status: &Document<'_>, name: &str, network: &Value) -> Network {
    let mut interfaces = Vec::new();
    for (interface, description) in map(network, "interfaces").into_iter().flatten() {
        let place = [name, interface.as_str()];
        let mut addresses = Vec::new();
        for subnet in list(description, "subnets") {
            if let Some((address, prefix)) = network_address(status, &place, text(subnet, "ipnet")) {
                let gateway = address_of(status, &place, text(subnet, "gateway"));
                addresses.push(InterfaceAddress { address, prefix, gateway });
            }
        }
        let mac = mac_of(status, &place, text(description, "mac_address"));
        interfaces.push(Interface { name: Some(interface.clone()), addresses, mac });
    }
    Network { name: Some(name.to_owned()), interfaces }
}

/// `{interfaces: [{name, mac, sandbox}], ips: [{interface: INDEX, address, gateway}]}`
///
/// The container's interfaces are those with a sandbox; the others are the host's ends and bridges.
fn cni_result(status: &Document<'_>, result: &Value) -> Network {
    let place = ["CNI result"];
    let mut interfaces: Vec<(usize, Interface)> = Vec::new();
    for (index, interface) in list(result, "interfaces").iter().enumerate() {
        if text(interface, "sandbox").is_some() {
            let mac = mac_of(status, &place, text(interface, "mac"));
            let name = text(interface, "name").map(str::to_owned);
            interfaces.push((index, Interface { name, addresses: Vec::new(), mac }));
        }
    }
    for ip in list(result, "ips") {
        let Some((address, prefix)) = network_address(status, &place, text(ip, "address")) else { continue };
        let gateway = address_of(status, &place, text(ip, "gateway"));
        let address = InterfaceAddress { address, prefix, gateway };
        let index = ip.get("interface").and_then(Value::as_u64).and_then(|index| usize::try_from(index).ok());
        match interfaces.iter_mut().find(|(of, _)| Some(*of) == index) {
            Some((_, interface)) => interface.addresses.push(address),
            None => {
                interfaces.push((usize::MAX, Interface { addresses: vec![address], ..Interface::default() }))
            }
        }
    }
    Network { name: None, interfaces: interfaces.into_iter().map(|(_, interface)| interface).collect() }
}

/// An address alone, `10.88.0.1`; absent or empty is none, nonsense is none with a gap.
pub(super) fn address_of(document: &Document<'_>, place: &[&str], text: Option<&str>) -> Option<IpAddr> {
    let text = text?;
    let address = text.parse().ok();
    if address.is_none() {
        document.complain(place, format!("{} is no IP address", short(text)));
    }
    address
}

/// An address and the length of its network's prefix, `10.88.0.2/16`; the prefix may be absent.
fn network_address(
    document: &Document<'_>,
    place: &[&str],
    text: Option<&str>,
) -> Option<(IpAddr, Option<u8>)> {
    let text = text?;
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text, None),
    };
    let address = address_of(document, place, Some(address))?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let length = prefix.and_then(|prefix| prefix.parse().ok()).filter(|length| *length <= most);
    if prefix.is_some() && length.is_none() {
        document.complain(place, format!("{} has no length of a prefix", short(text)));
    }
    Some((address, length))
}

/// A hardware address as written, if it is one: pairs of hexadecimal digits with colons between.
pub(super) fn mac_of(document: &Document<'_>, place: &[&str], text: Option<&str>) -> Option<String> {
    let text = text?;
    let pairs = text.split(':').all(|pair| pair.len() == 2 && pair.bytes().all(|b| b.is_ascii_hexdigit()));
    if !pairs || text.len() < 17 || text.len() > 59 {
        document.complain(place, format!("{} is no hardware address", short(text)));
        return None;
    }
    Some(text.to_owned())
}

fn map<'v>(value: &'v Value, key: &str) -> Option<&'v Map<String, Value>> {
    value.get(key)?.as_object()
}

fn list<'v>(value: &'v Value, key: &str) -> &'v [Value] {
    value.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn text<'v>(value: &'v Value, key: &str) -> Option<&'v str> {
    value.get(key)?.as_str().filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::gap::Findings;

    fn parse(json: &str) -> (Field<Vec<Network>>, usize) {
        let findings = RefCell::new(Findings::default());
        let document = Document::parse("network.status".to_owned(), json.as_bytes(), &findings);
        let networks = read(&document);
        drop(document);
        (networks, findings.into_inner().gaps.len())
    }

    fn address(address: &str, prefix: u8, gateway: Option<&str>) -> InterfaceAddress {
        let gateway = gateway.map(|gateway| gateway.parse().unwrap());
        InterfaceAddress { address: address.parse().unwrap(), prefix: Some(prefix), gateway }
    }

    #[test]
    fn podman_4_with_several_of_everything() {
        let (networks, gaps) = parse(
            r#"{"podman":{"interfaces":{"eth0":{"subnets":[{"ipnet":"10.88.0.2/16","gateway":"10.88.0.1"},
                {"ipnet":"fd00::2/64"}],"mac_address":"f2:da:00:bc:c7:57"}}},
                "other":{"interfaces":{"eth1":{"subnets":[{"ipnet":"10.89.0.9/24"}],"mac_address":""}}}}"#,
        );
        let networks = networks.known().unwrap().clone();
        assert_eq!(gaps, 0);
        assert_eq!(networks.len(), 2);
        let eth0 = &networks[0].interfaces[0];
        assert_eq!((networks[0].name.as_deref(), eth0.name.as_deref()), (Some("podman"), Some("eth0")));
        assert_eq!(
            eth0.addresses,
            [address("10.88.0.2", 16, Some("10.88.0.1")), address("fd00::2", 64, None)]
        );
        assert_eq!(eth0.mac.as_deref(), Some("f2:da:00:bc:c7:57"));
        assert_eq!(networks[1].interfaces[0].mac, None);
    }

    #[test]
    fn cni_results_give_the_interface_in_the_sandbox() {
        let json = r#"[{"cniVersion":"0.4.0","interfaces":[
            {"name":"cni-podman0","mac":"0e:00:00:00:00:01"},{"name":"veth1","mac":"0e:00:00:00:00:02"},
            {"name":"eth0","mac":"0e:00:00:00:00:03","sandbox":"/run/netns/x"}],
            "ips":[{"version":"4","interface":2,"address":"10.88.0.3/16","gateway":"10.88.0.1"}]}]"#;
        let (networks, gaps) = parse(json);
        let networks = networks.known().unwrap().clone();
        assert_eq!((networks.len(), gaps), (1, 0));
        let [eth0] = networks[0].interfaces.as_slice() else { panic!("{networks:?}") };
        assert_eq!(eth0.mac.as_deref(), Some("0e:00:00:00:00:03"));
        assert_eq!(eth0.addresses, [address("10.88.0.3", 16, Some("10.88.0.1"))]);
    }

    #[test]
    fn a_cni_address_of_no_interface_is_kept() {
        let (networks, _) =
            parse(r#"[{"cniVersion":"0.3.1","ips":[{"interface":77,"address":"10.0.0.2/8"}]}]"#);
        assert_eq!(networks.known().unwrap()[0].interfaces[0].addresses, [address("10.0.0.2", 8, None)]);
    }

    #[test]
    fn null_is_no_network() {
        assert_eq!(parse("null"), (Field::Known(Vec::new()), 0));
    }

    #[test]
    fn nonsense_is_left_out_and_the_rest_stays() {
        let (networks, gaps) = parse(
            r#"{"a":7,"b":{"interfaces":{"eth0":{"subnets":[{"ipnet":"here/16"},{"ipnet":"10.0.0.1/99"},
                {"ipnet":"10.0.0.2/8"},4],"mac_address":"\u001b[31m"}}}}"#,
        );
        let networks = networks.known().unwrap().clone();
        let eth0 = &networks[1].interfaces[0];
        assert_eq!((eth0.addresses.len(), eth0.addresses[0].prefix, eth0.mac.clone()), (2, None, None));
        assert_eq!(gaps, 3);
        assert!(matches!(parse("4").0, Field::Unparsable(_)));
        assert!(matches!(parse("").0, Field::Unreadable(_)));
    }
}
