//! Generates `table.rs` from `routes.tsv`: after a change of the latter, run the tests of this crate with
//! `UPDATE_OPERATION_TABLE=1`.

use std::{collections::HashMap, fmt::Write as _, fs};

use super::matcher::{BUCKET_BITS, NONE, bucket};

/// A line of `routes.tsv`.
pub(super) struct Route {
    pub(super) method: &'static str,
    pub(super) template: &'static str,
    pub(super) kind: &'static str,
    pub(super) host: &'static str,
    pub(super) tier: &'static str,
    pub(super) name: &'static str,
    pub(super) class: &'static str,
}

/// All of `routes.tsv`, in the order of the table.
pub(super) fn routes() -> Vec<Route> {
    let mut routes: Vec<_> = include_str!("routes.tsv")
        .lines()
        .map(|line| match line.split('\t').collect::<Vec<_>>()[..] {
            [method, template, _status, kind, host, tier, name, class] => {
                Route { method, template, kind, host, tier, name, class }
            }
            _ => panic!("not 8 columns: {line}"),
        })
        .collect();
    routes.sort_by_key(|route| route.name);
    routes
}

#[derive(Default)]
struct Trie {
    nodes: Vec<TrieNode>,
    edges: Vec<(u16, &'static str, u16)>,
}

struct TrieNode {
    operations: [u16; 3],
    parameter: u16,
    literals: HashMap<&'static str, u16>,
}

impl Trie {
    fn new(routes: &[Route]) -> Self {
        let mut trie = Self::default();
        let root = trie.node();
        for (index, route) in routes.iter().enumerate() {
            let segments =
                route.template.strip_prefix('/').expect("a template begins with a slash").split('/');
            let end = segments.fold(root, |node, segment| trie.child(node, segment));
            let method = ["GET", "POST", "DELETE"].iter().position(|&method| method == route.method);
            let slot =
                &mut trie.nodes[usize::from(end)].operations[method.expect("one of the three methods")];
            assert_eq!(*slot, NONE, "{} {} is there twice", route.method, route.template);
            *slot = index as u16;
        }
        trie
    }

    fn node(&mut self) -> u16 {
        self.nodes.push(TrieNode { operations: [NONE; 3], parameter: NONE, literals: HashMap::new() });
        (self.nodes.len() - 1) as u16
    }

    fn child(&mut self, from: u16, segment: &'static str) -> u16 {
        let parameter = segment.starts_with('{');
        let node = &self.nodes[usize::from(from)];
        let there = if parameter { node.parameter } else { *node.literals.get(segment).unwrap_or(&NONE) };
        if there != NONE {
            return there;
        }
        let to = self.node();
        let node = &mut self.nodes[usize::from(from)];
        if parameter {
            node.parameter = to;
        } else {
            node.literals.insert(segment, to);
            self.edges.push((from, segment, to));
        }
        to
    }
}

fn generate() -> Result<String, std::fmt::Error> {
    let routes = routes();
    let mut trie = Trie::new(&routes);
    let bucket =
        |&(from, literal, _): &(u16, &str, u16)| bucket(from, literal.as_bytes()).expect("not empty");
    trie.edges.sort_by_key(|edge| (bucket(edge), edge.0, edge.1));

    let mut out = String::from("// Generated from `routes.tsv` by `generate.rs`: do not edit.\n\n");
    out += "use super::ApiVersion::{Other, V1 as One, V2 as Two};\n";
    out += "use super::Class::{Meter, Money, Read, Search, Upload, Write};\n";
    out += "use super::Priority::{Background, Critical, Normal};\n";
    out += "use super::{ApiVersion, Class, Priority};\n";
    out += "use super::entry::Entry;\n";
    out += "use super::matcher::{Edge, NONE, Node};\n\n";

    writeln!(out, "/// How many operations there are, without `other`.")?;
    writeln!(out, "pub(super) const COUNT: usize = {};\n", routes.len())?;
    writeln!(out, "/// The node of `/v1`.\npub(super) const V1: u16 = {};\n", trie.nodes[0].literals["v1"])?;

    let hosts = [
        ("API", "api.stripe.com"),
        ("CONNECT", "connect.stripe.com"),
        ("FILES", "files.stripe.com"),
        ("METER_EVENTS", "meter-events.stripe.com"),
    ];
    for (constant, host) in hosts {
        writeln!(out, "const {constant}: &str = \"{host}\";")?;
    }
    for method in ["GET", "POST", "DELETE"] {
        writeln!(out, "const {method}: Option<&str> = Some(\"{method}\");")?;
    }

    writeln!(out, "\n/// By name, then the kinds of `other`.")?;
    writeln!(out, "pub(super) static OPERATIONS: [Entry; COUNT + {}] = [", OTHER.len())?;
    for route in &routes {
        let version = match route.template.split('/').nth(1) {
            Some("v1") => "One",
            Some("v2") => "Two",
            _ => "Other",
        };
        let priority = match route.tier {
            "0" | "1" => "Critical",
            "2" | "3" => "Normal",
            "4" => "Background",
            tier => panic!("no such tier: {tier}"),
        };
        let class = match route.class {
            "money" => "Money",
            "write" => "Write",
            "read" => "Read",
            "search" => "Search",
            "upload" => "Upload",
            "meter" => "Meter",
            class => panic!("no such class: {class}"),
        };
        let (host, _) = hosts.iter().find(|(_, host)| *host == route.host).expect("a known host");
        let Route { method, template, name, .. } = route;
        let row = if route.kind == "list" { "list" } else { "entry" };
        writeln!(
            out,
            "    {row}({method}, {host}, {version}, {class}, {priority}, \"{name}\", \"{template}\"),"
        )?;
    }
    for (version, class) in OTHER {
        writeln!(out, "    entry(None, API, {version}, {class}, Normal, \"other\", \"other\"),")?;
    }
    writeln!(out, "];\n")?;

    writeln!(out, "/// The trie; it begins at 0.")?;
    writeln!(out, "pub(super) static NODES: [Node; {}] = [", trie.nodes.len())?;
    let or_none = |index: u16| {
        if index == NONE { "NONE".to_owned() } else { index.to_string() }
    };
    for node in &trie.nodes {
        let [get, post, delete] = node.operations.map(or_none);
        let (parameter, literals) = (or_none(node.parameter), !node.literals.is_empty());
        writeln!(out, "    node([{get}, {post}, {delete}], {parameter}, {literals}),")?;
    }
    writeln!(out, "];\n")?;

    writeln!(out, "/// By bucket.")?;
    writeln!(out, "pub(super) static EDGES: [Edge; {}] = [", trie.edges.len())?;
    for (from, literal, to) in &trie.edges {
        writeln!(out, "    edge({from}, \"{literal}\", {to}),")?;
    }
    writeln!(out, "];\n")?;

    let starts: Vec<_> = (0..=1 << BUCKET_BITS)
        .map(|begin| trie.edges.partition_point(|edge| bucket(edge) < begin).to_string())
        .collect();
    writeln!(out, "/// Where in `EDGES` each bucket begins, and the last one ends.")?;
    writeln!(out, "pub(super) static BUCKETS: [u16; {}] = [", starts.len())?;
    for line in starts.chunks(20) {
        writeln!(out, "    {},", line.join(", "))?;
    }
    writeln!(out, "];\n")?;
    out += CONSTRUCTORS;
    Ok(out)
}

/// The kinds of `other`, in the order that `Operation::miss` counts on.
const OTHER: [(&str, &str); 8] = [
    ("One", "Read"),
    ("One", "Write"),
    ("One", "Money"),
    ("Two", "Read"),
    ("Two", "Money"),
    ("Other", "Read"),
    ("Other", "Write"),
    ("Other", "Money"),
];

const CONSTRUCTORS: &str = r#"const fn entry(
    method: Option<&'static str>,
    host: &'static str,
    version: ApiVersion,
    class: Class,
    priority: Priority,
    name: &'static str,
    template: &'static str,
) -> Entry {
    Entry { name, method, template, host, version, class, priority, list: false }
}

const fn list(
    method: Option<&'static str>,
    host: &'static str,
    version: ApiVersion,
    class: Class,
    priority: Priority,
    name: &'static str,
    template: &'static str,
) -> Entry {
    Entry { list: true, ..entry(method, host, version, class, priority, name, template) }
}

const fn node(operations: [u16; 3], parameter: u16, literals: bool) -> Node {
    Node { operations, parameter, literals }
}

const fn edge(from: u16, literal: &'static str, to: u16) -> Edge {
    Edge { from, literal, to }
}
"#;

#[test]
fn the_checked_in_table_is_what_the_routes_generate() -> Result<(), Box<dyn std::error::Error>> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/vocab/operation/table.rs");
    let generated = generate()?;
    if std::env::var_os("UPDATE_OPERATION_TABLE").is_some() {
        fs::write(path, &generated)?;
    }
    // Not `assert_eq`: the difference would fill the screen.
    assert!(
        fs::read_to_string(path)? == generated,
        "table.rs is not what routes.tsv says: run this test with UPDATE_OPERATION_TABLE=1, then all of them"
    );
    Ok(())
}
