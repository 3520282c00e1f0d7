//! The picture `results.svg`: the state of each target, and each rate with its limit.

use super::Report;
use crate::findings::Unit;
use crate::stats::Summary;
use crate::targets::{TARGETS, Target, Verdict};
use std::fmt::Write as _;

/// The picture. It has its own background and follows the light or dark theme of the reader.
#[must_use]
pub fn svg(report: &Report) -> String {
    let mut canvas = Canvas { body: String::new(), y: 0 };
    canvas.title(report);
    canvas.targets(report);
    canvas.pairs(report);
    let height = canvas.y + MARGIN;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
         role=\"img\" aria-label=\"Tidegate: each target and its measurement\">\n<style>{STYLE}</style>\n\
         <rect class=\"ground\" width=\"{WIDTH}\" height=\"{height}\" rx=\"12\"/>\n{}</svg>\n",
        canvas.body
    )
}

const WIDTH: i32 = 960;
const MARGIN: i32 = 28;
/// The left end of the bars.
const BARS: i32 = 370;
/// The length of the longest bar.
const SPAN: i32 = 330;
const ROW: i32 = 27;
/// A bar is cut, with a mark, at this multiple of its target.
const SCORE_MAX: f64 = 2.0;

const STYLE: &str = "
text { font: 13px ui-sans-serif, system-ui, -apple-system, 'Segoe UI', sans-serif; fill: #1f2937 }
.ground { fill: #fcfcfb; stroke: #e2e2df }
.title { font-size: 19px; font-weight: 650 }
.head { font-size: 14px; font-weight: 650 }
.faint { fill: #6b7280; font-size: 12px }
.track { fill: #ececea }
.met { fill: #2a7f86 }
.missed { fill: #c2571a }
.limit { fill: #b4b8bf }
.line { stroke: #1f2937; stroke-width: 1.5; stroke-dasharray: 3 3 }
.spread { stroke: #1f2937; stroke-width: 1.5 }
.cut { fill: #fcfcfb }
@media (prefers-color-scheme: dark) {
text { fill: #e5e7eb }
.ground { fill: #15191e; stroke: #2b323a }
.faint { fill: #9aa4b0 }
.track { fill: #232a32 }
.met { fill: #45b3bb }
.missed { fill: #ef8b4e }
.limit { fill: #5b6673 }
.line, .spread { stroke: #e5e7eb }
.cut { fill: #15191e }
}
";

struct Canvas {
    body: String,
    y: i32,
}

impl Canvas {
    fn title(&mut self, report: &Report) {
        self.y = 46;
        let machine = &report.machine;
        self.text(MARGIN, "title", "Speed of Tidegate");
        self.y += 22;
        let caution = match (report.quick, machine.was_busy()) {
            (_, true) => ". Do not quote: the machine had other work",
            (true, false) => ". Do not quote: a quick run",
            (false, false) => "",
        };
        let line = format!("{}; {}, {} cores, {}{caution}", report.day, machine.cpu, machine.cores, machine.kernel);
        self.text(MARGIN, "faint", &line);
    }

    fn targets(&mut self, report: &Report) {
        self.heading("Each target", "bar: measured; dashed line: target; longer is better");
        let top = self.y - 4;
        for target in TARGETS {
            self.target(target, target.judge(&report.findings));
        }
        let x = BARS + (f64::from(SPAN) / SCORE_MAX) as i32;
        self.add(&format!("<line class=\"line\" x1=\"{x}\" y1=\"{top}\" x2=\"{x}\" y2=\"{}\"/>", self.y - 4));
    }

    fn target(&mut self, target: &Target, verdict: Verdict) {
        self.text_at(MARGIN, self.y + 13, "", target.label);
        self.bar("track", self.y, 18, f64::from(SPAN));
        let (class, median) = match verdict {
            Verdict::Met { median } => ("met", median),
            Verdict::Missed { median, .. } => ("missed", median),
            Verdict::NotMeasured => {
                self.text_at(BARS + SPAN + 12, self.y + 13, "faint", "not measured");
                self.y += ROW;
                return;
            }
        };
        let score = target.score(median);
        self.bar(class, self.y, 18, f64::from(SPAN) * (score.min(SCORE_MAX) / SCORE_MAX));
        if score > SCORE_MAX {
            let (x, y) = (BARS + SPAN - 16, self.y);
            self.add(&format!("<path class=\"cut\" d=\"M{x} {y}l5 0l-6 18l-5 0z\"/>"));
        }
        let value = format!("{}  (target {})", target.unit.show(median), target.bound.show(target.unit));
        self.text_at(BARS + SPAN + 12, self.y + 13, "", &value);
        self.y += ROW;
    }

    fn pairs(&mut self, report: &Report) {
        let pairs: Vec<_> = report
            .findings
            .iter()
            .flat_map(|findings| findings.pairs.iter().map(move |pair| (findings, pair)))
            .collect();
        if pairs.is_empty() {
            return;
        }
        self.heading("Compared with the limit in the same run", "colour: Tidegate; grey: plain SQL; thin line: spread");
        for (findings, pair) in pairs {
            let (Some(figure), Some(limit)) = (findings.summary(&pair.figure), findings.summary(&pair.limit)) else {
                continue;
            };
            let longest = figure.max.max(limit.max);
            let unit = findings.series.iter().find(|series| series.name == pair.figure).map_or(Unit::Times, |s| s.unit);
            self.text_at(MARGIN, self.y + 12, "", &format!("{}: {}", findings.scenario, pair.figure));
            self.rate("met", &figure, longest, unit);
            self.text_at(MARGIN, self.y + 12, "faint", &format!("against: {}", pair.limit));
            self.rate("limit", &limit, longest, unit);
            self.y += 10;
        }
    }

    fn rate(&mut self, class: &str, summary: &Summary, longest: f64, unit: Unit) {
        let length = |value: f64| f64::from(SPAN) * value / longest;
        self.bar(class, self.y + 1, 14, length(summary.median));
        if summary.max > summary.min {
            let (from, to, y) = (length(summary.min), length(summary.max), self.y + 8);
            let (from, to) = (f64::from(BARS) + from, f64::from(BARS) + to);
            self.add(&format!("<line class=\"spread\" x1=\"{from:.1}\" y1=\"{y}\" x2=\"{to:.1}\" y2=\"{y}\"/>"));
        }
        self.text_at(BARS + SPAN + 12, self.y + 12, "", &unit.show(summary.median));
        self.y += 19;
    }

    fn heading(&mut self, heading: &str, legend: &str) {
        self.y += 40;
        self.text(MARGIN, "head", heading);
        self.text(BARS, "faint", legend);
        self.y += 14;
    }

    fn bar(&mut self, class: &str, y: i32, height: i32, length: f64) {
        let rect = format!(
            "<rect class=\"{class}\" x=\"{BARS}\" y=\"{y}\" width=\"{length:.1}\" height=\"{height}\" rx=\"3\"/>"
        );
        self.add(&rect);
    }

    fn text(&mut self, x: i32, class: &str, content: &str) {
        self.text_at(x, self.y, class, content);
    }

    fn text_at(&mut self, x: i32, y: i32, class: &str, content: &str) {
        self.add(&format!("<text class=\"{class}\" x=\"{x}\" y=\"{y}\">{}</text>", escaped(content)));
    }

    fn add(&mut self, element: &str) {
        writeln!(self.body, "{element}").expect("writing to a String never fails");
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
