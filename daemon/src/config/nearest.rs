/// The one of `known` that `written` was most likely meant to be; `None` if none is close.
///
/// Close is at most a third of the letters changed, swapped, missing or too many, and at least one may be.
pub(crate) fn nearest<'k>(written: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let allowed = (written.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(written, name), name))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// What to add to a message about the unknown name `written`: the nearest known name, or else all of them.
pub(crate) fn did_you_mean(written: &str, known: &[&str]) -> String {
    match nearest(written, known.iter().copied()) {
        Some(name) => format!("did you mean `{name}`?"),
        None => format!("known are {}", list(known)),
    }
}

fn list(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_is_found_or_all_are_named() {
        let known = ["collection", "key", "ops"];
        for (written, expected) in [
            ("colection", "did you mean `collection`?"),
            ("kye", "did you mean `key`?"),
            ("op", "did you mean `ops`?"),
            ("retries", "known are `collection`, `key`, `ops`"),
        ] {
            assert_eq!(did_you_mean(written, &known), expected, "{written}");
        }
    }
}
