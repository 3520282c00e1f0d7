//! The rule `plain-words`: no banned phrases, no lines of prose over 100 columns, no doc comments
//! that only repeat a name, and prose figures within their limits.

use super::Finding;
use crate::prose::{Figures, Kind, Passage, ProseFile, SHORT_DOC_WORDS, banned, prose_lines, without_targets};

const RULE: &str = "plain-words";
/// The most columns of a line of prose. Code may have 120.
const COLUMNS_MAX: usize = 100;

/// The findings in all files, and the figures of the whole.
pub(super) fn findings(files: &[ProseFile]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut whole = Figures::default();
    for file in files {
        findings.extend(file.passages.iter().flat_map(banned).map(|(line, banned)| {
            let message = format!("`{}`: write {}", banned.phrase, banned.replacement);
            finding(&file.path, Some(line), message)
        }));
        findings.extend(short_docs(file));
        findings.extend(wide_lines(file).into_iter().map(|(line, columns)| {
            finding(&file.path, Some(line), format!("{columns} columns; comments and pages have at most {COLUMNS_MAX}"))
        }));
        whole.add(&Figures::of(file));
    }
    findings.extend(whole.excesses().into_iter().map(|excess| finding("the whole repository", None, excess)));
    findings
}

fn finding(place: &str, line: Option<usize>, message: String) -> Finding {
    Finding { line, ..Finding::new(RULE, place, message) }
}

fn short_docs(file: &ProseFile) -> impl Iterator<Item = Finding> {
    let is_short = |passage: &&Passage| passage.kind == Kind::Doc && passage.length() <= SHORT_DOC_WORDS;
    file.passages.iter().filter(is_short).map(|passage| {
        let message = format!("a doc comment of {SHORT_DOC_WORDS} words or fewer: delete it, or say it in the name");
        finding(&file.path, Some(passage.first_line()), message)
    })
}

/// The lines with a comment, or of a page, that are too wide, with their columns.
fn wide_lines(file: &ProseFile) -> Vec<(usize, usize)> {
    if file.path.ends_with(".md") {
        let lines = prose_lines(&file.text).filter(|(_, line)| !line.trim_start().starts_with('|'));
        return lines.filter_map(|(number, line)| Some((number, excess(&without_targets(line))?))).collect();
    }
    let commented = file.passages.iter().filter(|passage| passage.kind != Kind::Message);
    let mut numbers: Vec<usize> = commented.flat_map(|passage| passage.lines.iter().map(|line| line.number)).collect();
    numbers.sort_unstable();
    numbers.dedup();
    let lines: Vec<&str> = file.text.lines().collect();
    numbers.into_iter().filter_map(|number| Some((number, excess(lines.get(number - 1)?)?))).collect()
}

/// The columns of a line that is too wide. A line with an address cannot always be wrapped.
fn excess(line: &str) -> Option<usize> {
    let columns = line.chars().count();
    (columns > COLUMNS_MAX && !line.contains("://")).then_some(columns)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(path: &str, text: &str) -> Vec<String> {
        findings(&[ProseFile::new(path, text)]).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn each_kind_of_finding_has_its_place() {
        let enough = "// Enough words for the figures.\n".repeat(10);
        let text = format!("{enough}fn f() {{}} // The row is {}held.\n", "still ".repeat(20));
        assert_eq!(lines("a.rs", &text), ["a.rs:11: 149 columns; comments and pages have at most 100 [plain-words]"]);
        let short = "a.rs:1: a doc comment of 3 words or fewer: delete it, or say it in the name [plain-words]";
        assert_eq!(lines("a.rs", "/// The lease.\n")[0], short);
        assert_eq!(
            lines("a.rs", "//! Rows are let go.")[0],
            "a.rs:1: `let go`: write \"release\" or \"drop\" [plain-words]"
        );
    }

    #[test]
    fn the_figures_of_the_whole_have_limits() {
        let found = lines("a.rs", "// Who asks whom for what.");
        assert_eq!(
            found.last().unwrap(),
            "the whole repository: 600.00 uses of `what` and `who` per 1,000 words; the limit is 3 [plain-words]"
        );
    }

    #[test]
    fn tables_links_addresses_and_examples_may_be_wide() {
        let wide = "wide ".repeat(30);
        for text in [
            format!("| {wide} |"),
            format!("```\n{wide}\n```"),
            format!("[link](https://example.org/{})", "x".repeat(100)),
            format!("<https://example.org/{}>", "x".repeat(100)),
            format!("[link]({}.md)", "x".repeat(100)),
        ] {
            assert_eq!(lines("a.md", &text), Vec::<String>::new(), "{text}");
        }
        assert_eq!(lines("a.md", &wide).len(), 1);
        assert_eq!(lines("a.rs", &format!("f(\"{wide}\")")), Vec::<String>::new());
    }
}
