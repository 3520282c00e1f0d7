//! The code blocks of a page, and the comparison of a printed block with real output.

use std::path::Path;

/// A block between two lines of three backquotes.
pub(super) struct Block {
    /// Empty for the output of a program.
    pub(super) language: String,
    pub(super) text: String,
    /// The page and the line where the block begins, for messages.
    pub(super) place: String,
}

/// The blocks of a page. `path` is relative to the root of the repository.
pub(super) fn blocks(path: &str) -> Vec<Block> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    let page = std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{path}: {error}"));
    let mut blocks = Vec::new();
    let mut lines = page.lines().enumerate();
    while let Some((at, line)) = lines.next() {
        let Some(language) = line.strip_prefix("```") else { continue };
        let text = lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "```");
        let text: String = text.flat_map(|line| [line, "\n"]).collect();
        blocks.push(Block { language: language.to_owned(), text, place: format!("{path}:{}", at + 1) });
    }
    blocks
}

/// Checks that `output` has the lines of `block`, in this order. Numbers and spaces may differ, and
/// `…` stands for any text.
pub(super) fn missing_line(block: &str, output: &str) -> Option<String> {
    let mut printed = output.lines().map(shape);
    let mut expected = block.lines().filter(|line| !line.trim().is_empty());
    expected.find(|line| !printed.any(|printed| fits(&shape(line), &printed))).map(str::to_owned)
}

/// The line with one `#` for each number and for each id, and one space for several.
fn shape(line: &str) -> String {
    let words = line.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut shape = String::new();
    for part in words.split_inclusive(|c: char| !c.is_ascii_alphanumeric() && c != '-') {
        let text = part.trim_end_matches(|c: char| !c.is_ascii_alphanumeric() && c != '-');
        let is_id = text.len() == 36 && text.matches('-').count() == 4;
        shape.push_str(if is_id { "#" } else { text });
        shape.push_str(&part[text.len()..]);
    }
    let is_number = |c: char| c.is_ascii_digit();
    let mut collapsed = String::new();
    for c in shape.chars() {
        match (is_number(c), collapsed.ends_with('#')) {
            (true, true) => {}
            (true, false) => collapsed.push('#'),
            (false, _) => collapsed.push(c),
        }
    }
    collapsed
}

fn fits(pattern: &str, line: &str) -> bool {
    let mut pieces = pattern.split('…');
    let Some(mut rest) = line.strip_prefix(pieces.next().unwrap_or_default()) else { return false };
    let mut is_open = false;
    for piece in pieces {
        is_open = piece.is_empty();
        let Some(at) = rest.find(piece) else { return false };
        rest = &rest[at + piece.len()..];
    }
    is_open || rest.is_empty()
}

#[test]
fn a_printed_block_is_compared_line_by_line() {
    let output = "tidegate 0.1.0\n  url    http://127.0.0.1:4711\n{\"id\":\"01a20981-1bb3-73d5-bddd-d916198022d0\"}\n";
    for (block, missing) in [
        ("tidegate 0.2.0\n", None),
        ("  url http://…:8787\n", None),
        ("  url http://…\n", None),
        ("{\"id\":\"01a20981-1bb3-73d5-bddd-d916198022d1\"}", None),
        ("{\"id\":\"none\"}", Some("{\"id\":\"none\"}")),
        ("  url x\n", Some("  url x")),
        ("{\"id\":\"…\"}\ntidegate 0.1.0\n", Some("tidegate 0.1.0")),
    ] {
        assert_eq!(missing_line(block, output).as_deref(), missing, "{block}");
    }
}
