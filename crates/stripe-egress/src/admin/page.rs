//! One page for eyes. It is whole in itself, loads nothing, runs nothing, and asks the browser to come back for news.

use std::fmt::{self, Write};

use tower_stripe::{Certainty, breaker::State, vocab::RequestId};

use super::status::{PRIORITIES, Status};
use crate::notes::Note;

/// How often the browser comes back.
const REFRESH_SECONDS: u32 = 2;

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem;\
color:#1a1f36;background:#fff}h1{font-size:1.4rem}h2{font-size:1.05rem;margin:1.6rem 0 .3rem}\
table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.2rem .8rem .2rem 0;\
border-bottom:1px solid #e3e8ee;font-variant-numeric:tabular-nums}th{font-weight:600}\
.bad{color:#b3093c;font-weight:600}.wait{color:#a05a00;font-weight:600}.good{color:#0a6b3d}\
p.verdict{font-size:1.15rem;padding:.6rem .9rem;border-left:4px solid}\
@media(prefers-color-scheme:dark){body{color:#e3e8ee;background:#14171f}td,th{border-color:#2f3542}\
.bad{color:#ff7096}.wait{color:#f0b36a}.good{color:#5fd39a}}";

/// Text that has no meaning in HTML.
struct Escaped<T>(T);

impl<T: fmt::Display> fmt::Display for Escaped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.to_string().chars() {
            match character {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

/// The page.
pub(super) fn render(status: &Status) -> String {
    let mut html = String::with_capacity(8 * 1024);
    // A string takes whatever is written to it.
    let _ = write(&mut html, status);
    html
}

fn write(html: &mut String, status: &Status) -> fmt::Result {
    write!(
        html,
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>stripe-egress</title>\
         <meta name=\"viewport\" content=\"width=device-width\">\
         <meta http-equiv=\"refresh\" content=\"{REFRESH_SECONDS}\"><style>{STYLE}</style></head><body>\
         <h1>stripe-egress {}</h1>",
        env!("CARGO_PKG_VERSION")
    )?;
    let (class, verdict) = verdict(status);
    write!(html, "<p id=\"verdict\" class=\"verdict {class}\">{}</p>", Escaped(verdict))?;
    circuits(html, status)?;
    money(html, status)?;
    buckets(html, status)?;
    pending(html, status)?;
    last(html, status, "answered", "Last calls that Stripe answered", &status.answered)?;
    last(html, status, "unanswered", "Last calls that it did not", &status.unanswered)?;
    html.write_str("<p>The same as JSON: <a href=\"/status\">/status</a></p></body></html>")
}

/// The one sentence to read first.
fn verdict(status: &Status) -> (&'static str, String) {
    let open: Vec<_> = status
        .circuits
        .iter()
        .filter(|(_, state)| *state != State::Closed)
        .map(|(name, _)| name.as_str())
        .collect();
    if status.draining {
        ("wait", "Draining: it stops as soon as the calls under way are over.".to_owned())
    } else if !open.is_empty() {
        ("bad", format!("Stripe is left alone where it has been failing: {}.", open.join(", ")))
    } else if status.blocked_keys > 0 {
        ("bad", format!("Stripe does not accept {} of the API keys in use.", status.blocked_keys))
    } else {
        ("good", "Calls go through.".to_owned())
    }
}

fn circuits(html: &mut String, status: &Status) -> fmt::Result {
    table(html, "circuits", "Circuit breaker", &["circuit", "state"])?;
    for (name, state) in &status.circuits {
        let (class, meaning) = match state {
            State::Closed => ("good", "closed: calls go through"),
            State::Open => ("bad", "open: calls are refused"),
            State::HalfOpen => ("wait", "half open: it finds out whether Stripe is back"),
        };
        row(html, &[cell(name), Cell { class, text: meaning.to_owned() }])?;
    }
    end(html, status.circuits.is_empty(), 2)
}

fn money(html: &mut String, status: &Status) -> fmt::Result {
    table(html, "calls", "Calls since it started", &["what", "calls"])?;
    let unknown = if status.counts.unknown > 0 { "bad" } else { "good" };
    for (what, count, class) in [
        ("all", status.counts.calls, ""),
        ("under way", status.calls_under_way as u64, ""),
        ("answered in Stripe's place", status.counts.refused, ""),
        ("unknown: may have been executed", status.counts.unknown, unknown),
        ("whose clients went away", status.counts.gone, ""),
        ("payments under way", status.payments_under_way as u64, ""),
        ("payments under way whose clients have gone", status.payments_abandoned as u64, ""),
    ] {
        row(html, &[cell(what), Cell { class, text: count.to_string() }])?;
    }
    row(html, &[cell("connections"), cell(format!("{} of {}", status.connections, status.max_connections))])?;
    end(html, false, 2)
}

fn buckets(html: &mut String, status: &Status) -> fmt::Result {
    let heads = ["account", "calls a second", "in flight", "critical wait", "normal wait", "background wait"];
    table(html, "governor", "Rate limits", &heads)?;
    for account in &status.accounts {
        let rate = account.global_rate().map_or_else(|| "no limit".to_owned(), |rate| format!("{rate:.1}"));
        let mut cells = vec![cell(account.mode().as_str()), cell(rate), cell(account.in_flight())];
        cells.extend(PRIORITIES.map(|priority| cell(account.waiting(priority))));
        row(html, &cells)?;
    }
    end(html, status.accounts.is_empty(), heads.len())?;
    let (class, left) = match status.retry_budget {
        Some(left) if left < 0.05 => ("bad", format!("{:.0} %", left * 100.0)),
        Some(left) => ("", format!("{:.0} %", left * 100.0)),
        None => ("", "no limit".to_owned()),
    };
    write!(html, "<p id=\"budget\">Retries left in the budget: <span class=\"{class}\">{left}</span></p>")
}

fn pending(html: &mut String, status: &Status) -> fmt::Result {
    let heads = ["for", "operation", "calls"];
    table(html, "pending", "Calls of which nobody knows yet", &heads)?;
    for call in &status.pending {
        let age = Cell { class: "bad", text: format!("{} s", call.age().as_secs()) };
        row(html, &[age, cell(call.operation().name()), cell(call.calls())])?;
    }
    end(html, status.pending.is_empty(), heads.len())
}

fn last(html: &mut String, status: &Status, id: &str, title: &str, notes: &[Note]) -> fmt::Result {
    let heads = ["ago", "operation", "answer", "certainty", "advice", "attempts", "request id"];
    table(html, id, title, &heads)?;
    for note in notes {
        let answer = match (note.code, note.status) {
            (Some(code), _) => code.to_owned(),
            (None, Some(status)) => status.as_u16().to_string(),
            (None, None) => "client gone".to_owned(),
        };
        let class = if note.certainty == Certainty::Unknown { "bad" } else { "" };
        row(
            html,
            &[
                cell(format!("{} s", status.seconds_ago(note))),
                cell(note.operation.name()),
                cell(answer),
                Cell { class, text: note.certainty.as_str().to_owned() },
                cell(note.advice.as_str()),
                cell(note.attempts),
                cell(note.request_id.as_ref().map_or("–", RequestId::as_str)),
            ],
        )?;
    }
    end(html, notes.is_empty(), heads.len())
}

struct Cell {
    class: &'static str,
    text: String,
}

fn cell(text: impl fmt::Display) -> Cell {
    Cell { class: "", text: text.to_string() }
}

fn table(html: &mut String, id: &str, title: &str, heads: &[&str]) -> fmt::Result {
    write!(html, "<h2>{title}</h2><table id=\"{id}\"><thead><tr>")?;
    for head in heads {
        write!(html, "<th>{head}</th>")?;
    }
    html.write_str("</tr></thead><tbody>")
}

fn row(html: &mut String, cells: &[Cell]) -> fmt::Result {
    html.write_str("<tr>")?;
    for Cell { class, text } in cells {
        write!(html, "<td class=\"{class}\">{}</td>", Escaped(text))?;
    }
    html.write_str("</tr>")
}

fn end(html: &mut String, empty: bool, columns: usize) -> fmt::Result {
    if empty {
        write!(html, "<tr><td colspan=\"{columns}\">none yet</td></tr>")?;
    }
    html.write_str("</tbody></table>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_from_outside_means_nothing_in_html() {
        let escaped = Escaped("<script>'&\"</script>").to_string();
        assert_eq!(escaped, "&lt;script&gt;&#39;&amp;&quot;&lt;/script&gt;");
    }
}
