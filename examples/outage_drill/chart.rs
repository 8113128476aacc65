//! The chart: a panel for each run, one below the other, on the same axes.

use std::{error::Error, fs, ops::Range, time::Duration};

use plotters::{
    chart::{ChartBuilder, ChartContext, SeriesLabelPosition},
    coord::types::RangedCoordf64,
    prelude::{
        AreaSeries, Cartesian2d, Color, DashedLineSeries, DrawingArea, EmptyElement, IntoDrawingArea,
        IntoFont, LineSeries, PathElement, RGBColor, Rectangle, SVGBackend, ShapeStyle, Text, TextStyle,
    },
    style::text_anchor::{HPos, Pos, VPos},
};
use tower_stripe::BoxError;

use crate::{
    clients::{Circuit, Circuits},
    drill::Run,
    figures::Figures,
    script::{Script, Weather},
    settings::{Arguments, OFFERED_PER_SECOND},
};

const WIDTH: u32 = 1_080;
const HEADER: u32 = 66;
const PANEL: u32 = 268;
const BAND: u32 = 74;
const LEFT: u32 = 66;
const MARGIN: u32 = 10;

const FONT: &str = "sans-serif";
const INK: RGBColor = RGBColor(34, 34, 34);
const GRID: RGBColor = RGBColor(225, 225, 225);
// They differ in lightness as much as in hue: a print in grey tells them apart.
const OFFERED: RGBColor = RGBColor(120, 120, 120);
const ON_THE_WIRE: RGBColor = RGBColor(240, 150, 40);
const SUCCEEDED: RGBColor = RGBColor(0, 52, 110);
const CLOSED: RGBColor = RGBColor(206, 228, 206);
const HALF_OPEN: RGBColor = RGBColor(240, 170, 30);
const OPEN: RGBColor = RGBColor(120, 10, 30);

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;
type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;
/// One of the two circuits.
type Of = fn(&Circuits) -> Circuit;

/// Writes the chart to where the arguments want it.
pub(crate) fn draw(runs: &[Run], script: &Script, arguments: &Arguments) -> Result<(), BoxError> {
    let mut svg = String::new();
    draw_to(&mut svg, runs, script, arguments).map_err(|error| format!("the chart: {error}"))?;
    let write = || {
        if let Some(parent) = arguments.svg.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&arguments.svg, svg)
    };
    Ok(write().map_err(|error| format!("{}: {error}", arguments.svg.display()))?)
}

fn draw_to(
    svg: &mut String,
    runs: &[Run],
    script: &Script,
    arguments: &Arguments,
) -> Result<(), Box<dyn Error>> {
    let with_band = |run: &Run| !run.circuits.is_empty();
    let height = |run: &Run| PANEL + if with_band(run) { BAND } else { 0 };
    let total = HEADER + runs.iter().map(height).sum::<u32>();
    let root = SVGBackend::with_string(svg, (WIDTH, total)).into_drawing_area();
    root.fill(&RGBColor(255, 255, 255))?;
    let (header, mut rest) = root.split_vertically(HEADER);
    draw_header(&header, arguments)?;

    let most = runs.iter().flat_map(|run| per_second(run.on_the_wire.iter(), script));
    let top = most.fold(f64::from(OFFERED_PER_SECOND), f64::max) * 1.18;
    for run in runs {
        let (panel, below) = rest.split_vertically(PANEL);
        draw_panel(&panel, run, script, top)?;
        rest = below;
        if with_band(run) {
            let (band, below) = rest.split_vertically(BAND);
            draw_band(&band, run, script)?;
            rest = below;
        }
    }
    root.present()?;
    Ok(())
}

fn draw_header(area: &Area<'_>, arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let title = text(20);
    area.draw(&Text::new("An outage of 30 s at Stripe: what is sent, and what succeeds", (16, 12), title))?;
    let below = format!(
        "Virtual time, {OFFERED_PER_SECOND} calls/s offered, 3 attempts, seed {}; simulated by examples/outage_drill",
        arguments.seed
    );
    area.draw(&Text::new(below, (16, 42), text(13)))?;
    Ok(())
}

fn draw_panel(area: &Area<'_>, run: &Run, script: &Script, top: f64) -> Result<(), Box<dyn Error>> {
    let figures = Figures::of(run);
    let recovered = figures.recovered.map_or_else(
        || "not recovered".to_owned(),
        |time| format!("recovered {:.2} s after it", time.as_secs_f64()),
    );
    let caption = format!(
        "{}: {} requests reach Stripe while it is down, {recovered}",
        match run.name {
            "none" => "No protection",
            "tower" => "tower::retry with a budget",
            _ => "StripeTransport",
        },
        figures.reached
    );
    let mut chart = ChartBuilder::on(area)
        .caption(caption, text(15))
        .margin_right(16)
        .margin_left(MARGIN)
        .margin_top(4)
        .x_label_area_size(38)
        .y_label_area_size(LEFT)
        .build_cartesian_2d(0.0..script.end().as_secs_f64(), 0.0..top)?;
    shade(&mut chart, script, top)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .bold_line_style(GRID)
        .light_line_style(GRID.mix(0.0))
        .axis_style(INK)
        .label_style(text(12))
        .axis_desc_style(text(13))
        .x_labels(12)
        .y_labels(5)
        .x_desc("time (s)")
        .y_desc("calls, requests (1/s)")
        .x_label_formatter(&|x| format!("{x:.0}"))
        .y_label_formatter(&|y| format!("{y:.0}"))
        .draw()?;

    let wire = points(&per_second(run.on_the_wire.iter(), script));
    chart
        .draw_series(
            AreaSeries::new(wire, 0.0, ON_THE_WIRE.mix(0.45)).border_style(ON_THE_WIRE.stroke_width(1)),
        )?
        .label("on the wire")
        .legend(|(x, y)| Rectangle::new([(x, y - 5), (x + 22, y + 5)], ON_THE_WIRE.mix(0.6).filled()));
    let offered = points(&per_second(run.calls.iter().map(|call| &call.offered), script));
    let dashes = ShapeStyle { color: OFFERED.to_rgba(), filled: false, stroke_width: 2 };
    chart.draw_series(DashedLineSeries::new(offered, 6, 4, dashes))?.label("offered").legend(|(x, y)| {
        let dash =
            |from: i32| PathElement::new(vec![(x + from, y), (x + from + 6, y)], OFFERED.stroke_width(2));
        EmptyElement::at((0, 0)) + dash(0) + dash(9) + dash(18)
    });
    let done = run.calls.iter().filter(|call| call.succeeded).map(|call| &call.done);
    chart
        .draw_series(LineSeries::new(points(&per_second(done, script)), SUCCEEDED.stroke_width(2)))?
        .label("succeeded")
        .legend(|(x, y)| PathElement::new(vec![(x, y), (x + 22, y)], SUCCEEDED.stroke_width(2)));
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .background_style(RGBColor(255, 255, 255).mix(0.85))
        .border_style(GRID)
        .label_font(text(12))
        .draw()?;
    Ok(())
}

/// Marks the stretches in which Stripe is not well.
fn shade(chart: &mut Chart<'_, '_>, script: &Script, top: f64) -> Result<(), Box<dyn Error>> {
    for stretch in script.stretches() {
        let grey = match stretch.weather {
            Weather::Well => continue,
            Weather::Down => 0.16,
            Weather::Storm | Weather::Slow => 0.07,
        };
        let (from, to) = (stretch.time.start.as_secs_f64(), stretch.time.end.as_secs_f64());
        chart.draw_series([Rectangle::new([(from, 0.0), (to, top)], INK.mix(grey).filled())])?;
        let middle = text(12).pos(Pos::new(HPos::Center, VPos::Top));
        chart.draw_series([Text::new(stretch.weather.name(), ((from + to) / 2.0, top * 0.985), middle)])?;
    }
    Ok(())
}

/// The states of the breaker over time.
fn draw_band(area: &Area<'_>, run: &Run, script: &Script) -> Result<(), Box<dyn Error>> {
    let mut chart = ChartBuilder::on(area)
        .margin_right(16)
        .margin_left(MARGIN)
        .margin_bottom(30)
        .y_label_area_size(LEFT)
        .build_cartesian_2d(0.0..script.end().as_secs_f64(), 0.0..2.0)?;
    let rows: [(_, _, Of); 2] =
        [("writes", 1.0, |circuits| circuits.writes), ("reads", 0.0, |circuits| circuits.reads)];
    let left = text(12).pos(Pos::new(HPos::Right, VPos::Center));
    for (name, bottom, of) in rows {
        let mut stretches = stretches(&run.circuits, of, script.end());
        // A probe takes a moment, which must be seen all the same: it is drawn last, and not too narrow.
        stretches.sort_by_key(|(_, state)| *state == Circuit::HalfOpen);
        for (time, state) in stretches {
            let (from, mut to) = (time.start.as_secs_f64(), time.end.as_secs_f64());
            if state == Circuit::HalfOpen {
                to = to.max(from + script.end().as_secs_f64() / 500.0);
            }
            let corners = [(from, bottom + 0.12), (to, bottom + 0.88)];
            chart.draw_series([Rectangle::new(corners, colour(state).filled())])?;
        }
        let label = EmptyElement::at((0.0, bottom + 0.5)) + Text::new(name, (-8, 0), left.clone());
        chart.draw_series([label])?;
    }
    let mut x = i32::try_from(MARGIN + LEFT)?;
    let y = i32::try_from(BAND)? - 18;
    area.draw(&Text::new("breaker:", (x, y), text(12)))?;
    for (name, state) in
        [("closed", Circuit::Closed), ("half open", Circuit::HalfOpen), ("open", Circuit::Open)]
    {
        x += 88;
        area.draw(&Rectangle::new([(x, y), (x + 16, y + 11)], colour(state).filled()))?;
        area.draw(&Text::new(name, (x + 21, y), text(12)))?;
    }
    Ok(())
}

/// One circuit's states, each with its time; what is equal is one.
fn stretches(seen: &[(Duration, Circuits)], of: Of, end: Duration) -> Vec<(Range<Duration>, Circuit)> {
    let mut stretches: Vec<(Range<Duration>, Circuit)> = Vec::new();
    for (at, circuits) in seen {
        let state = of(circuits);
        match stretches.last_mut() {
            Some((_, last)) if *last == state => {}
            last => {
                if let Some((time, _)) = last {
                    time.end = *at;
                }
                stretches.push((*at..end, state));
            }
        }
    }
    stretches
}

const fn colour(state: Circuit) -> RGBColor {
    match state {
        Circuit::Closed => CLOSED,
        Circuit::HalfOpen => HALF_OPEN,
        Circuit::Open => OPEN,
    }
}

/// How many there are in each second of the script.
fn per_second<'a>(times: impl Iterator<Item = &'a Duration>, script: &Script) -> Vec<f64> {
    let seconds = usize::try_from(script.end().as_secs()).unwrap_or_default();
    let mut counts = vec![0.0; seconds];
    for time in times {
        if let Some(count) = usize::try_from(time.as_secs()).ok().and_then(|second| counts.get_mut(second)) {
            *count += 1.0;
        }
    }
    counts
}

/// As steps: each second is as wide as it is.
fn points(counts: &[f64]) -> Vec<(f64, f64)> {
    let mut from = 0.0;
    let steps = counts.iter().flat_map(|count| {
        let step = [(from, *count), (from + 1.0, *count)];
        from += 1.0;
        step
    });
    steps.collect()
}

fn text(size: i32) -> TextStyle<'static> {
    (FONT, size).into_font().color(&INK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_run_is_the_same_picture_with_the_breaker_below_its_panel() {
        let script = Script::whole(Duration::from_secs(10));
        let circuits = |at, writes, reads| (Duration::from_secs(at), Circuits { writes, reads });
        let run = |circuits| Run {
            name: "ours",
            settings: String::new(),
            script: script.clone(),
            calls: Vec::new(),
            on_the_wire: vec![Duration::from_secs(3)],
            circuits,
        };
        let arguments = Arguments::parse(std::iter::empty()).expect("valid").expect("no help");
        let draw = |run: &Run| {
            let mut svg = String::new();
            draw_to(&mut svg, std::slice::from_ref(run), &script, &arguments).expect("it can be drawn");
            svg
        };
        let alone = draw(&run(Vec::new()));
        assert!(!alone.contains("half open"));
        let seen = vec![
            circuits(0, Circuit::Closed, Circuit::Closed),
            circuits(31, Circuit::Open, Circuit::Closed),
            circuits(45, Circuit::HalfOpen, Circuit::Open),
            circuits(61, Circuit::Closed, Circuit::Closed),
        ];
        let with_band = draw(&run(seen.clone()));
        for text in ["half open", "writes", "reads", "time (s)", "on the wire", "offered", "succeeded"] {
            assert!(with_band.contains(text), "{text}");
        }
        assert_eq!(with_band, draw(&run(seen)));
    }

    #[test]
    fn states_that_follow_one_another_unchanged_are_one_stretch() {
        let secs = Duration::from_secs;
        let at = |at, writes, reads| (secs(at), Circuits { writes, reads });
        let seen = [
            at(0, Circuit::Closed, Circuit::Closed),
            at(2, Circuit::Closed, Circuit::Open),
            at(5, Circuit::Open, Circuit::Open),
        ];
        let writes = stretches(&seen, |circuits| circuits.writes, secs(9));
        assert_eq!(writes, [(secs(0)..secs(5), Circuit::Closed), (secs(5)..secs(9), Circuit::Open)]);
        let reads = stretches(&seen, |circuits| circuits.reads, secs(9));
        assert_eq!(reads, [(secs(0)..secs(2), Circuit::Closed), (secs(2)..secs(9), Circuit::Open)]);
    }
}
