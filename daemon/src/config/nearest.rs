/// The name in `known` that is nearest to `written`. `None` if no name is near.
///
/// A name is near if its Damerau–Levenshtein distance is at most a third of the letters of
/// `written`, or 1.
pub(crate) fn nearest<'k>(written: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let allowed = (written.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(written, name), name))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// The end of a message about the unknown name `written`: the nearest known name, or all known
/// names.
pub(crate) fn did_you_mean(written: &str, known: &[&str]) -> String {
    match nearest(written, known.iter().copied()) {
        Some(name) => format!("did you mean `{name}`?"),
        None => format!("use one of {}", list(known)),
    }
}

fn list(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_suggested_or_all_names_are_listed() {
        let known = ["collection", "key", "ops"];
        for (written, expected) in [
            ("colection", "did you mean `collection`?"),
            ("kye", "did you mean `key`?"),
            ("op", "did you mean `ops`?"),
            ("retries", "use one of `collection`, `key`, `ops`"),
        ] {
            assert_eq!(did_you_mean(written, &known), expected, "{written}");
        }
    }
}
