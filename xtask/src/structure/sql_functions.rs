//! The rule `function-length` for SQL: a function of a migration has at most 70 lines and 8
//! parameters.
//!
//! Clippy's `too_many_lines` is the same rule for Rust.

use super::Finding;
use crate::prose::ProseFile;

const RULE: &str = "function-length";
/// A function that is longer than a screen contains a second idea.
const LINES_MAX: usize = 70;
/// More parameters than this are a composite type.
const PARAMETERS_MAX: usize = 8;

/// A `create function` statement.
#[derive(Debug, PartialEq, Eq)]
struct SqlFunction<'a> {
    /// The name without its schema.
    name: &'a str,
    first_line: usize,
    lines: usize,
    parameters: usize,
}

/// The functions of all migrations that are too long or have too many parameters.
pub(super) fn findings(files: &[ProseFile]) -> Vec<Finding> {
    let migrations = files.iter().filter(|file| file.path.starts_with("migrations/") && file.path.ends_with(".sql"));
    migrations
        .flat_map(|file| functions(&file.text).into_iter().flat_map(|function| excesses(&file.path, &function)))
        .collect()
}

fn excesses(path: &str, function: &SqlFunction<'_>) -> Vec<Finding> {
    let figures = [("lines", function.lines, LINES_MAX), ("parameters", function.parameters, PARAMETERS_MAX)];
    let excesses = figures.into_iter().filter(|(_, figure, limit)| figure > limit);
    let findings = excesses.map(|(name, figure, limit)| {
        let message = format!("the SQL function `{}` has {figure} {name}; the limit is {limit}", function.name);
        let item = Some(format!("function {}", function.name));
        Finding { line: Some(function.first_line), item, ..Finding::new(RULE, path, message) }
    });
    findings.collect()
}

/// The functions of a file. Each ends with the `;` after its body.
fn functions(text: &str) -> Vec<SqlFunction<'_>> {
    let lower = text.to_ascii_lowercase();
    let mut functions = Vec::new();
    let mut from = 0;
    while let Some(start) = next_statement(&lower, from) {
        let head = &lower[start..];
        let Some(open) = head.find('(') else { break };
        let name = text[start..start + open].trim_end().rsplit([' ', '.']).next().unwrap_or_default();
        let end = start + end_of_statement(head);
        functions.push(SqlFunction {
            name,
            first_line: text[..start].matches('\n').count() + 1,
            lines: text[start..end].lines().count(),
            parameters: parameters(&head[open + 1..]),
        });
        from = end;
    }
    functions
}

/// The next `create function` at the beginning of a line.
fn next_statement(lower: &str, from: usize) -> Option<usize> {
    let heads = ["create function ", "create or replace function "];
    let starts = heads.iter().flat_map(|head| lower[from..].match_indices(head).map(|(at, _)| from + at));
    starts.filter(|&at| at == 0 || lower[..at].ends_with('\n')).min()
}

/// The length of the statement with its `;`. A body may stand in dollar quotes, `$$` or `$name$`.
fn end_of_statement(statement: &str) -> usize {
    let first_end = statement.find(';').unwrap_or(statement.len());
    let body = statement[..first_end].find('$').and_then(|open| {
        let tag = &statement[open..=open + 1 + statement[open + 1..].find('$')?];
        let start = open + tag.len();
        Some(start + statement[start..].find(tag)? + tag.len())
    });
    let after = body.unwrap_or_default();
    statement[after..].find(';').map_or(statement.len(), |at| after + at + 1)
}

/// The parameters of a list that was opened before `list`. Commas within brackets, comments and
/// strings separate none.
fn parameters(list: &str) -> usize {
    let mut depth = 1_u32;
    let mut separators = 0;
    let mut is_empty = true;
    let code = list.lines().map(|line| line.split("--").next().unwrap_or_default()).collect::<Vec<_>>().join("\n");
    let mut in_string = false;
    for char in code.chars() {
        match char {
            '\'' => in_string = !in_string,
            _ if in_string => {}
            '(' | '[' => depth += 1,
            ')' | ']' => depth -= 1,
            ',' if depth == 1 => separators += 1,
            _ => {}
        }
        if depth == 0 {
            break;
        }
        is_empty &= char.is_whitespace();
    }
    if is_empty { 0 } else { separators + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_have_their_lines_and_parameters() {
        let text = "create table a (b int);\n\ncreate function t.one() returns int\nlanguage sql as $$ select 1 $$;\n\
                    create function plain() returns int return 1;\n\
                    create or replace function two(\n  a numeric(1, 2), -- x, y\n  b text default 'c, d'\n) returns int\n\
                    language plpgsql as $body$\nbegin\n  return 1;\nend\n$body$ stable;\n";
        let expected = [
            SqlFunction { name: "one", first_line: 3, lines: 2, parameters: 0 },
            SqlFunction { name: "plain", first_line: 5, lines: 1, parameters: 0 },
            SqlFunction { name: "two", first_line: 6, lines: 9, parameters: 2 },
        ];
        assert_eq!(functions(text), expected);
    }

    #[test]
    fn a_long_function_and_a_long_list_are_found() {
        let long = format!("create function t.f(a int) as $$\n{}$$;\n", "select 1;\n".repeat(70));
        let many = "create function g(a int, b int, c int, d int, e int, f int, g int, h int, i int) as $$ $$;";
        let files =
            [ProseFile::new("migrations/postgres/1.sql", &format!("{long}{many}")), ProseFile::new("a.sql", &long)];
        let found: Vec<_> = findings(&files).iter().map(ToString::to_string).collect();
        let place = "migrations/postgres/1.sql";
        assert_eq!(
            found,
            [
                format!("{place}:1: the SQL function `f` has 72 lines; the limit is 70 [function-length]"),
                format!("{place}:73: the SQL function `g` has 9 parameters; the limit is 8 [function-length]"),
            ]
        );
    }
}
