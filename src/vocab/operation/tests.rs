use std::{
    collections::{BTreeSet, HashMap},
    sync::LazyLock,
    time::Duration,
};

use http::Method;
use proptest::{prelude::*, sample::select};

use super::{
    ApiVersion, Class, Operation, Priority,
    generate::{Route, routes},
    matcher::{BUCKET_BITS, NONE},
    table::{BUCKETS, COUNT, EDGES, NODES},
};

const GENERATED_ID: &str = "obj_1PqR3sT5uV7wX9yZ1aB2";

/// Ids that Stripe generates, and ids that users choose: of coupons, plans, products, custom objects.
const IDS: [&str; 9] = [
    GENERATED_ID,
    "SUMMER25",
    "gold",
    "prod-basic",
    "a%2Fb",
    "%E2%82%AC%20caf%C3%A9",
    "{customer}",
    "v1",
    ".",
];

fn method(name: &str) -> Method {
    name.parse().expect("a method")
}

fn fill(template: &str, id: &str) -> String {
    let segments = template.split('/').map(|segment| if segment.starts_with('{') { id } else { segment });
    segments.collect::<Vec<_>>().join("/")
}

/// What `resolve` means, one route after the other: of those that fit, the one whose first literal comes first.
fn naive<'a>(routes: &'a [Route], method: &Method, path: &str) -> Option<&'a Route> {
    let fits = |route: &&Route| {
        let (template, path) = (route.template.split('/'), path.split('/'));
        route.method == method.as_str()
            && template.clone().count() == path.clone().count()
            && template.zip(path).all(|(want, got)| match want.starts_with('{') {
                true => !got.is_empty(),
                false => want == got,
            })
    };
    let literals =
        |route: &&Route| route.template.split('/').map(|want| !want.starts_with('{')).collect::<Vec<_>>();
    routes.iter().filter(fits).max_by_key(literals)
}

// === the table ===

#[test]
fn every_template_resolves_to_itself_whatever_its_ids() {
    for route in routes() {
        for id in IDS {
            let path = fill(route.template, id);
            assert_eq!(Operation::resolve(&method(route.method), &path).name(), route.name, "{path}");
        }
    }
}

#[test]
fn every_operation_is_what_its_route_says() {
    for route in routes() {
        let operation = Operation::new(route.name).expect("in the table");
        assert_eq!(operation.name(), route.name);
        assert_eq!(operation.method(), Some(route.method), "{operation}");
        assert_eq!(operation.template(), route.template, "{operation}");
        assert_eq!(operation.host(), route.host, "{operation}");
        assert_eq!(operation.class().as_str(), route.class, "{operation}");
        assert_eq!(operation.is_money(), route.class == "money", "{operation}");
        let version = match &route.template[..4] {
            "/v1/" => ApiVersion::V1,
            "/v2/" => ApiVersion::V2,
            _ => ApiVersion::Other,
        };
        assert_eq!(operation.api_version(), version, "{operation}");
        let priority = match route.tier {
            "0" | "1" => Priority::Critical,
            "4" => Priority::Background,
            _ => Priority::Normal,
        };
        assert_eq!(operation.priority(), priority, "{operation}");
        let (attempt, deadline) = match (route.class, route.kind) {
            ("upload", _) => (120, 300),
            (_, "list" | "search") => (45, 75),
            ("read", _) => (20, 75),
            _ => (30, 75),
        };
        assert_eq!(operation.attempt_timeout(), Duration::from_secs(attempt), "{operation}");
        assert_eq!(operation.deadline(), Duration::from_secs(deadline), "{operation}");
    }
}

#[test]
fn all_yields_each_operation_once_and_in_order() {
    let all: Vec<_> = Operation::all().collect();
    let names: BTreeSet<_> = all.iter().map(|operation| operation.name()).collect();
    assert_eq!(all.len(), 670);
    assert_eq!(names.len(), 670, "names are unique");
    assert!(all.is_sorted());
    assert!(all.is_sorted_by_key(|operation| operation.name()));
    assert!(all.iter().all(|&operation| Operation::new(operation.name()) == Some(operation)));
}

#[test]
fn a_name_outside_the_table_is_no_operation() {
    for name in ["", "other", "charges", "charges.create ", "Charges.create", "charges.ch_123", "zzz", "💳"]
    {
        assert_eq!(Operation::new(name), None, "{name}");
    }
}

#[test]
fn names_are_fit_for_labels() {
    for operation in Operation::all() {
        let fit = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '_' | '.');
        assert!(operation.name().chars().all(fit), "{operation}");
    }
}

#[test]
fn only_reads_are_gets_and_only_gets_are_reads() {
    for operation in Operation::all() {
        let read = matches!(operation.class(), Class::Read | Class::Search);
        assert_eq!(read, operation.method() == Some("GET"), "{operation}");
    }
}

#[test]
fn the_trie_points_nowhere_outside_itself() {
    let node = |index: u16| usize::from(index) < NODES.len();
    for here in &NODES {
        assert!(here.parameter == NONE || node(here.parameter));
        assert!(here.operations.iter().all(|&index| index == NONE || usize::from(index) < COUNT));
    }
    assert!(EDGES.iter().all(|edge| node(edge.from) && node(edge.to)));
    assert_eq!(BUCKETS.len(), (1 << BUCKET_BITS) + 1);
    assert!(BUCKETS.is_sorted());
    assert_eq!(BUCKETS.last().map(|&end| usize::from(end)), Some(EDGES.len()));
}

#[test]
fn no_bucket_holds_more_than_four_literals() {
    assert!(BUCKETS.windows(2).all(|ends| ends[1] - ends[0] <= 4));
}

// === what matches ===

#[test]
fn a_literal_wins_over_a_parameter_of_the_same_method_only() {
    for (method, path, name) in [
        (Method::GET, "/v1/customers/search", "customers.search"),
        (Method::POST, "/v1/customers/search", "customers.update"),
        (Method::DELETE, "/v1/customers/search", "customers.delete"),
        (Method::GET, "/v1/customers/searches", "customers.retrieve"),
        (Method::GET, "/v1/customers/search/sources", "customers.sources.list"),
        (Method::POST, "/v1/invoices/create_preview", "invoices.create_preview"),
        (Method::GET, "/v1/invoices/create_preview", "invoices.retrieve"),
        (Method::POST, "/v1/invoices/create_preview/pay", "invoices.pay"),
    ] {
        assert_eq!(Operation::resolve(&method, path).name(), name, "{method} {path}");
    }
}

#[test]
fn what_is_nearly_a_path_of_the_table_is_other() {
    for path in [
        "",
        "/",
        "*",
        "//",
        "v1/charges",
        "/v1",
        "/v1/",
        "/v1/charges/",
        "//v1/charges",
        "/v1//charges",
        "/v1/customers//sources",
        "/v1/customers/cus_1/",
        "/v1/customers/cus_1/sources/src_1/more",
        "/v1/Charges",
        "/v1/%63harges",
        "/v1/charges?limit=3",
        "/v1/charges#top",
        "/v1/charge",
        "/v1/chargess",
        "/v2/charges",
        "/v3/charges",
    ] {
        assert_eq!(Operation::resolve(&Method::GET, path).name(), "other", "{path}");
    }
}

#[test]
fn a_path_may_be_very_long() {
    let path = format!("/v1{}", "/charges".repeat(100_000));
    assert_eq!(Operation::resolve(&Method::GET, &path).name(), "other");
    let path = format!("/v1/charges/{}", "x".repeat(1_000_000));
    assert_eq!(Operation::resolve(&Method::GET, &path).name(), "charges.retrieve");
}

// === other ===

#[test]
fn other_has_the_version_of_its_path_and_the_class_of_its_method() {
    use ApiVersion::{Other, V1, V2};
    use Class::{Money, Read, Write};

    for (path, version, delete) in [
        ("/v1", V1, Write),
        ("/v1/", V1, Write),
        ("/v1/novelties/nov_1", V1, Write),
        ("/v2", V2, Money),
        ("/v2/", V2, Money),
        ("/v2/novelties/nov_1", V2, Money),
        ("/v10/novelties", Other, Write),
        ("/v1beta", Other, Write),
        ("/V1/novelties", Other, Write),
        ("v1/novelties", Other, Write),
        ("/v3/novelties", Other, Write),
        ("/oauth/novelties", Other, Write),
        ("/", Other, Write),
        ("", Other, Write),
        ("*", Other, Write),
    ] {
        for (method, class) in [
            (Method::GET, Read),
            (Method::POST, Money),
            (Method::DELETE, delete),
            (Method::HEAD, Money),
            (Method::PUT, Money),
            (Method::PATCH, Money),
            (Method::OPTIONS, Money),
            (Method::from_bytes(b"get").expect("a method"), Money),
            (Method::from_bytes(b"CHARGE").expect("a method"), Money),
        ] {
            let other = Operation::resolve(&method, path);
            assert_eq!(other.name(), "other");
            assert_eq!(other.template(), "other");
            assert_eq!(other.method(), None);
            assert_eq!(other.host(), "api.stripe.com");
            assert_eq!(other.api_version(), version, "{method} {path}");
            assert_eq!(other.class(), class, "{method} {path}");
            assert_eq!(other.is_money(), class == Money);
            assert_eq!(other.priority(), Priority::Normal);
            let attempt = if class == Read { 20 } else { 30 };
            assert_eq!(other.attempt_timeout(), Duration::from_secs(attempt));
            assert_eq!(other.deadline(), Duration::from_secs(75));
        }
    }
}

#[test]
fn a_method_that_a_known_path_does_not_have_is_other() {
    for method in [Method::HEAD, Method::PUT, Method::PATCH, Method::OPTIONS, Method::TRACE, Method::CONNECT]
    {
        for route in routes() {
            let other = Operation::resolve(&method, &fill(route.template, GENERATED_ID));
            assert_eq!((other.name(), other.class()), ("other", Class::Money));
        }
    }
}

#[test]
fn kinds_of_other_are_equal_if_version_and_class_are() {
    let resolve = |method, path| Operation::resolve(&method, path);
    assert_eq!(resolve(Method::POST, "/v1/a"), resolve(Method::PUT, "/v1/b"));
    assert_ne!(resolve(Method::POST, "/v1/a"), resolve(Method::GET, "/v1/a"));
    assert_ne!(resolve(Method::POST, "/v1/a"), resolve(Method::POST, "/v2/a"));
    assert!(Operation::all().all(|known| known < resolve(Method::GET, "/v1/a")));
}

// === the handle ===

#[test]
fn an_operation_is_two_bytes_and_prints_its_name() {
    assert_eq!(size_of::<Operation>(), 2);
    let operation = Operation::new("refunds.create").expect("in the table");
    assert_eq!(format!("{operation} {operation:?} {operation:#?}"), ["refunds.create"; 3].join(" "));
    assert_eq!(format!("[{operation:>16}]"), "[  refunds.create]");
}

#[test]
fn labels_are_the_words_of_the_design() {
    assert_eq!([Class::Money, Class::Upload].map(Class::as_str), ["money", "upload"]);
    assert_eq!(
        [ApiVersion::V1, ApiVersion::V2, ApiVersion::Other].map(ApiVersion::as_str),
        ["v1", "v2", "other"]
    );
    let urgency = [Priority::Background, Priority::Normal, Priority::Critical];
    assert!(urgency.is_sorted());
    assert_eq!(urgency.map(|priority| priority.to_string()), ["background", "normal", "critical"]);
}

// === against a naive model ===

fn any_method() -> impl Strategy<Value = Method> {
    prop_oneof![
        9 => select(vec![Method::GET, Method::POST, Method::DELETE]),
        1 => "[A-Za-z]{1,8}".prop_map(|name| method(&name)),
    ]
}

/// A segment: a literal of the table, an id, nothing, or anything.
fn any_segment() -> impl Strategy<Value = String> {
    let literals: BTreeSet<_> = routes().iter().flat_map(|route| route.template.split('/')).collect();
    prop_oneof![
        4 => select(literals.into_iter().map(str::to_owned).collect::<Vec<_>>()),
        2 => select(IDS.map(str::to_owned).to_vec()),
        1 => Just(String::new()),
        1 => "[a-z_/%]{0,12}",
        1 => any::<String>(),
    ]
}

/// A path of the table, its parameters filled in with whatever.
fn known_path() -> impl Strategy<Value = String> {
    let templates = routes().iter().map(|route| route.template).collect::<Vec<_>>();
    (select(templates), prop::collection::vec(any_segment(), 8)).prop_map(|(template, mut segments)| {
        let fill = |segment: &str| match segment.starts_with('{') {
            true => segments.pop().expect("no template is as long"),
            false => segment.to_owned(),
        };
        template.split('/').map(fill).collect::<Vec<_>>().join("/")
    })
}

/// A path of the table with one segment taken out, put in, doubled or replaced.
fn near_miss() -> impl Strategy<Value = String> {
    (known_path(), any::<prop::sample::Index>(), any_segment(), 0..4).prop_map(|(path, at, segment, how)| {
        let mut segments: Vec<_> = path.split('/').map(str::to_owned).collect();
        let at = at.index(segments.len());
        match how {
            0 => drop(segments.remove(at)),
            1 => segments.insert(at, segment),
            2 => segments.insert(at, segments[at].clone()),
            _ => segments[at] = segment,
        }
        segments.join("/")
    })
}

fn any_path() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => known_path(),
        4 => near_miss(),
        2 => prop::collection::vec(any_segment(), 0..9).prop_map(|segments| segments.join("/")),
        1 => any::<String>(),
    ]
}

static ROUTES: LazyLock<Vec<Route>> = LazyLock::new(routes);

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(4096) })]

    #[test]
    fn resolve_agrees_with_a_naive_matcher_and_makes_no_name_up(method in any_method(), path in any_path()) {
        let operation = Operation::resolve(&method, &path);
        match naive(&ROUTES, &method, &path) {
            Some(route) => prop_assert_eq!(operation.name(), route.name),
            None => prop_assert_eq!((operation.name(), operation.template()), ("other", "other")),
        }
    }

    #[test]
    fn new_knows_the_names_of_the_table_only(name in any::<String>(), at: prop::sample::Index, cut in 0_usize..40) {
        let names: HashMap<_, _> = Operation::all().map(|operation| (operation.name(), operation)).collect();
        let known = ROUTES[at.index(COUNT)].name;
        for name in [&name, known, &known[cut.min(known.len())..], &format!("{known}{name}")] {
            prop_assert_eq!(Operation::new(name), names.get(name).copied());
        }
    }
}
