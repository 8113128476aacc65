//! The names and labels that dashboards and alert rules are built on do not change unnoticed.

use std::{fmt::Write, fs, path::Path};

use tower_stripe::vocab::metric::{self, MetricKind};

fn table() -> String {
    let mut text = String::from(
        "# Metrics\n\n\
         The contract, from `src/vocab/metric.rs`: a test fails while the two differ, and\n\
         `UPDATE_METRICS=1 cargo test --test it the_contract` writes this page anew. All metrics but the last have the label\n\
         `transport` besides. Those without a list of values: `operation` is a name of the operation table or `other`, `code` one of\n\
         Stripe's that this version knows or `other`.\n\n\
         | metric | kind | unit | labels | what |\n|---|---|---|---|---|\n",
    );
    for metric in metric::ALL {
        let labels: Vec<_> = metric.labels.iter().map(|label| format!("`{}`", label.name)).collect();
        let (kind, unit) = (metric.kind.as_str(), metric.unit.as_str());
        let labels = labels.join(", ");
        writeln!(text, "| `{}` | {kind} | {unit} | {labels} | {} |", metric.name, metric.help)
            .expect("a string");
    }
    text.push_str("\n## Values of labels\n\n| metric | label | values |\n|---|---|---|\n");
    for metric in metric::ALL {
        for label in metric.labels.iter().filter(|label| !label.values.is_empty()) {
            let values = label.values.join(", ");
            writeln!(text, "| `{}` | `{}` | {values} |", metric.name, label.name).expect("a string");
        }
    }
    text.push_str("\n## Buckets\n\n| metric | upper bounds in seconds |\n|---|---|\n");
    for metric in metric::ALL {
        if let MetricKind::Histogram(bounds) = metric.kind {
            let bounds: Vec<_> = bounds.iter().map(f64::to_string).collect();
            writeln!(text, "| `{}` | {} |", metric.name, bounds.join(", ")).expect("a string");
        }
    }
    text
}

#[test]
fn the_contract_is_what_the_page_says() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md");
    let expected = table();
    if std::env::var_os("UPDATE_METRICS").is_some() {
        fs::write(&page, &expected).expect("the page can be written");
    }
    let written = fs::read_to_string(&page).expect("the page is there");
    assert!(
        written == expected,
        "docs/metrics.md differs from src/vocab/metric.rs: UPDATE_METRICS=1 writes it anew"
    );
}
