//! The figures as a picture: a panel for each measure, a line for each thing that there is more
//! of, all relative to 1 ×. Pure.

use std::fmt::Write as _;

use super::{AXES, FACTORS, Figures, MEASURES};

const WIDTH: f64 = 840.0;
const PANEL_WIDTH: f64 = 380.0;
const PANEL_HEIGHT: f64 = 230.0;
/// Between panels, and around them: room for the numbers beside an axis.
const MARGIN: f64 = 40.0;
const HEAD: f64 = 60.0;
/// From a sixteenth to sixteen times, in powers of two.
const HALVINGS: f64 = 4.0;
/// Colours that are told apart by those too who do not see all of them.
const COLOURS: [&str; AXES.len()] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7"];

/// The picture of all measures.
pub(super) fn svg(figures: &Figures, machine: &str) -> String {
    let height = HEAD + 2.0 * (PANEL_HEIGHT + MARGIN);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" \
         font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    text(&mut svg, MARGIN, 18.0, &escaped(machine), "#555");
    for (at, (axis, colour)) in AXES.into_iter().zip(COLOURS).enumerate() {
        let x = MARGIN + 130.0 * number(at);
        line(&mut svg, &[(x, 34.0), (x + 24.0, 34.0)], colour, 2.0);
        text(&mut svg, x + 30.0, 38.0, &format!("more {axis}"), "black");
    }
    for (at, ((measure, unit), axes)) in MEASURES.into_iter().zip(figures).enumerate() {
        let left = MARGIN + number(at % 2) * (PANEL_WIDTH + MARGIN);
        let top = HEAD + number(at / 2) * (PANEL_HEIGHT + MARGIN) + 20.0;
        let places = if axes[0][0] < 10.0 { 2 } else { 0 };
        let title = format!("{measure} (1 × = {:.places$} {unit})", axes[0][0]);
        panel(&mut svg, (left, top), &title, axes);
    }
    svg + "</svg>\n"
}

fn panel(svg: &mut String, (left, top): (f64, f64), title: &str, axes: &[[f64; FACTORS.len()]; AXES.len()]) {
    let width = PANEL_WIDTH - MARGIN;
    let x = |at: usize| left + MARGIN + number(at) / number(FACTORS.len() - 1) * (width - MARGIN);
    let y = |relative: f64| {
        let halvings = relative.log2().clamp(-HALVINGS, HALVINGS);
        top + (PANEL_HEIGHT - MARGIN) * (HALVINGS - halvings) / (2.0 * HALVINGS)
    };
    text(svg, left, top - 14.0, title, "black");
    for (relative, name) in [(1.0 / 16.0, "1/16"), (0.25, "1/4"), (1.0, "1"), (4.0, "4"), (16.0, "16")] {
        line(svg, &[(x(0), y(relative)), (x(FACTORS.len() - 1), y(relative))], "#ddd", 1.0);
        text(svg, left + 4.0, y(relative) + 4.0, name, "#555");
    }
    for (at, factor) in FACTORS.into_iter().enumerate() {
        text(svg, x(at) - 8.0, y(1.0 / 16.0) + 16.0, &format!("{factor} ×"), "#555");
    }
    for (values, colour) in axes.iter().zip(COLOURS) {
        let points: Vec<_> =
            values.iter().enumerate().map(|(at, value)| (x(at), y(value / values[0]))).collect();
        line(svg, &points, colour, 2.0);
        for (x, y) in points {
            writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>").ok();
        }
    }
}

fn line(svg: &mut String, points: &[(f64, f64)], colour: &str, width: f64) {
    let points: Vec<_> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    let points = points.join(" ");
    writeln!(
        svg,
        "<polyline points=\"{points}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"{width}\"/>"
    )
    .ok();
}

fn text(svg: &mut String, x: f64, y: f64, text: &str, colour: &str) {
    writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" fill=\"{colour}\">{text}</text>").ok();
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[expect(clippy::cast_precision_loss, reason = "there are few of them")]
fn number(count: usize) -> f64 {
    count as f64
}
