//! Plots over time, as inline SVG. Numbers beside the axes are HTML, so that they stay readable
//! at any width.

use maud::{Markup, html};

use super::text::{brief, duration};
use super::{Pace, Span};

/// The drawing's own units; the page stretches them.
const WIDTH: f64 = 1000.0;
const HEIGHT: f64 = 100.0;

/// A wait is shown this wide at least.
const SEEN: f64 = 2.0;

/// Both plots: rows a second, and how long batches took.
pub fn plots(pace: &Pace, waits: &[Span]) -> Markup {
    let rows: Vec<Option<f64>> =
        series(pace, |point| point.map_or(0.0, |it| it.rows as f64 / pace.step).into());
    let half = series(pace, |point| point.map(|it| it.p50));
    let late = series(pace, |point| point.map(|it| it.p95));
    let top = |series: &[Option<f64>]| series.iter().flatten().fold(0.0_f64, |a, b| a.max(*b));
    let (rate, slow) = (nice(top(&rows)), nice(top(&late)));
    html! {
        figure {
            figcaption {
                "Rows a second"
                @if !waits.is_empty() { span { i.key.wait {} "waits for the throttle" } }
            }
            (frame(pace, waits, rate, &brief, &html! {
                path.area d=(area(&rows, rate)) {}
                path.line d=(path(&rows, rate)) {}
            }))
        }
        figure {
            figcaption {
                "How long a batch takes"
                span { i.key {} "half of them, at most" }
                span { i.key.late {} "19 of 20, at most" }
            }
            (frame(pace, waits, slow, &duration, &html! {
                path.dot d=(dots(&half, slow)) {}
                path.dot.late d=(dots(&late, slow)) {}
                path.line d=(path(&half, slow)) {}
                path.line.late d=(path(&late, slow)) {}
            }))
        }
    }
}

/// One value for each stretch of time, also where nothing was committed.
fn series(pace: &Pace, value: impl Fn(Option<&super::Point>) -> Option<f64>) -> Vec<Option<f64>> {
    let many = pace.points.last().map_or(0, |last| last.number + 1);
    let mut points = pace.points.iter().peekable();
    (0..many).map(|number| value(points.next_if(|point| point.number == number))).collect()
}

fn frame(
    pace: &Pace,
    waits: &[Span],
    top: f64,
    label: &dyn Fn(f64) -> String,
    inner: &Markup,
) -> Markup {
    let view = format!("0 0 {WIDTH} {HEIGHT}");
    let whole = whole(pace);
    html! {
        div.frame {
            div.y {
                @for share in [1.0, 0.5] { span { (label(top * share)) } }
                span { "0" }
            }
            svg viewBox=(view) preserveAspectRatio="none" role="img" {
                @for y in [0.0, 0.5, 1.0] {
                    path.grid d=(format!("M0 {0}H{WIDTH}", number(y * HEIGHT))) {}
                }
                @for wait in waits {
                    @let (x, width) = band(wait, whole);
                    rect.wait x=(number(x)) y="0" width=(number(width)) height=(HEIGHT) {
                        title { (super::text::shortened(&wait.reason, 160)) ", " (duration(wait.seconds)) }
                    }
                }
                @for at in &pace.resumed {
                    path.mark d=(format!("M{} 0V{HEIGHT}", number((at / whole).clamp(0.0, 1.0) * WIDTH))) {
                        title { "a process went on with the run" }
                    }
                }
                (inner)
            }
        }
        div.x { @for part in 0..=4 { span { (duration(whole * f64::from(part) / 4.0)) } } }
    }
}

/// Seconds from the first batch to the end of the last stretch.
fn whole(pace: &Pace) -> f64 {
    let many = pace.points.last().map_or(1, |last| last.number + 1);
    (many as f64 * pace.step).max(1e-6)
}

fn band(wait: &Span, whole: f64) -> (f64, f64) {
    let x = |seconds: f64| (seconds / whole).clamp(0.0, 1.0) * WIDTH;
    let (from, to) = (x(wait.from).min(WIDTH - SEEN), x(wait.to));
    (from, (to - from).max(SEEN))
}

/// The middle of each stretch.
fn place(index: usize, many: usize, value: f64, top: f64) -> (f64, f64) {
    let x = (index as f64 + 0.5) / many.max(1) as f64 * WIDTH;
    (x, HEIGHT - (value / top).clamp(0.0, 1.0) * HEIGHT)
}

fn path(series: &[Option<f64>], top: f64) -> String {
    let mut out = String::new();
    let mut pen = 'M';
    for (index, value) in series.iter().enumerate() {
        let Some(value) = value else {
            pen = 'M';
            continue;
        };
        let (x, y) = place(index, series.len(), *value, top);
        out.push_str(&format!("{pen}{} {}", number(x), number(y)));
        pen = 'L';
    }
    out
}

/// Values with nothing on either side, which a line doesn't show.
fn dots(series: &[Option<f64>], top: f64) -> String {
    let at = |index: Option<usize>| index.and_then(|index| series.get(index)).copied().flatten();
    let alone = |index: usize| at(index.checked_sub(1)).is_none() && at(Some(index + 1)).is_none();
    let mut out = String::new();
    for (index, value) in series.iter().enumerate() {
        if let Some(value) = value.filter(|_| alone(index)) {
            let (x, y) = place(index, series.len(), value, top);
            out.push_str(&format!("M{} {}h0", number(x), number(y)));
        }
    }
    out
}

fn area(series: &[Option<f64>], top: f64) -> String {
    let line = path(series, top);
    let end = |index: usize| number(place(index, series.len(), 0.0, 1.0).0);
    match (line.strip_prefix('M'), series.len().checked_sub(1)) {
        (Some(rest), Some(last)) => {
            format!("M{} {HEIGHT}L{rest}L{} {HEIGHT}Z", end(0), end(last))
        }
        _ => String::new(),
    }
}

/// The next round number: the axis ends there.
fn nice(most: f64) -> f64 {
    if most <= 0.0 || !most.is_finite() {
        return 1.0;
    }
    let unit = 10f64.powf(most.log10().floor());
    let step = [1.0, 2.0, 4.0, 5.0, 6.0, 8.0, 10.0].into_iter().find(|step| step * unit >= most);
    step.unwrap_or(10.0) * unit
}

/// A coordinate, short.
fn number(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map(str::to_owned).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Point;

    #[test]
    fn axes_end_at_round_numbers() {
        for (most, top) in [(0.0, 1.0), (3.1, 4.0), (4.3, 5.0), (99.0, 100.0), (0.012, 0.02)] {
            assert!((nice(most) - top).abs() < 1e-9, "{most}");
        }
    }

    #[test]
    fn a_stretch_without_batches_is_a_gap() {
        let point = |number| Point { number, rows: 10, p50: 1.0, ..Point::default() };
        let pace =
            Pace { step: 1.0, points: vec![point(0), point(2), point(3)], ..Pace::default() };
        let half = series(&pace, |point| point.map(|it| it.p50));
        assert_eq!(half, [Some(1.0), None, Some(1.0), Some(1.0)]);
        assert_eq!(path(&half, 1.0), "M125 0M625 0L875 0");
        assert_eq!(dots(&half, 1.0), "M125 0h0");
    }
}
