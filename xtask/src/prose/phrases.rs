//! Banned phrases. Each hides its subject, is out of use, or is a private word for a standard term.
//!
//! Standard English is not banned. A phrase belongs here if readers stumbled over it in this
//! repository.

use super::passage::{Passage, Word};

/// A phrase in lower case, and the words to write in its place.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Banned {
    pub(crate) phrase: &'static str,
    pub(crate) replacement: &'static str,
}

const fn ban(phrase: &'static str, replacement: &'static str) -> Banned {
    Banned { phrase, replacement }
}

const NAME_THE_PERSON: &str = "name the person or program: the caller, the daemon, another client";
const NAME_THE_RESULT: &str = "name the result: its outcome, its verdict, the rows that it wrote";
const NAME_THE_THING: &str = "name the thing: the rows, the lanes, the permits that are left";
const RECEIVES: &str = "\"receives\", \"learns\", or the name of the message";
const RELEASE: &str = "\"release\" or \"drop\"";
const STANDARD_TERM: &str = "the standard term: row, client, caller, permits that are held";

#[rustfmt::skip]
const PHRASES: &[Banned] = &[
    // Subjects without a noun.
    ban("whoever", NAME_THE_PERSON),
    ban("whomever", NAME_THE_PERSON),
    ban("nobody", "\"no client\", \"no daemon\", or a passive verb"),
    ban("somebody", NAME_THE_PERSON),
    ban("anybody", "\"any client\", \"any user\""),
    ban("everybody", "\"each caller\", \"all daemons\""),
    ban("who asks", "\"the caller\" or \"the client\""),
    ban("who asked", "\"the caller\" or \"the client\""),
    ban("who calls", "\"the caller\""),
    ban("by whose", "begin with the owner: \"the store owns the clock\""),
    ban("of whose", "begin with the owner"),
    ban("what is due", "\"rows that are due\""),
    ban("what is there", NAME_THE_THING),
    ban("what there is", NAME_THE_THING),
    ban("what is left", NAME_THE_THING),
    ban("what came of", NAME_THE_RESULT),
    ban("what comes of", NAME_THE_RESULT),
    ban("what becomes of", NAME_THE_RESULT),
    ban("what became of", NAME_THE_RESULT),
    ban("what came back", NAME_THE_RESULT),
    ban("what it is told", "name the input: the arguments, the settings"),
    ban("none of ours", "\"not one of our crates\", \"not our row\""),
    // Riddles about numbers and existence.
    ban("manyeth", "\"counted from 1\", \"the n-th\""),
    ban("how manyeth", "\"counted from 1\", \"the n-th\""),
    ban("the how", "a noun: the number, the order"),
    ban("so often", "\"that many times\", or the number"),
    ban("that there is not", "\"that does not exist\", \"unknown\""),
    ban("is there not", "\"does not exist\""),
    ban("comes to be", "\"is created\", \"is written\""),
    ban("come to be", "\"are created\", \"are written\""),
    ban("came to be", "\"was created\", \"was written\""),
    // Verbs of telling and asking for plain data flow.
    ban("is told", RECEIVES),
    ban("was told", RECEIVES),
    ban("told of", "\"announced\", \"reported\""),
    ban("tell of", "\"announce\", \"report\""),
    ban("tells of", "\"announces\", \"reports\""),
    ban("hear of", RECEIVES),
    ban("hears of", RECEIVES),
    ban("heard of", RECEIVES),
    ban("is heard", "\"is accepted\", \"is read\""),
    ban("it is asked", "\"the caller requests\", or the name of the call"),
    ban("let go", RELEASE),
    ban("lets go", RELEASE),
    ban("letting go", RELEASE),
    ban("turned away", "\"rejected\""),
    ban("looks again", "\"polls again\", \"reads again\""),
    ban("gives back", "\"returns\""),
    ban("give back", "\"return\""),
    ban("given back", "\"returned\""),
    ban("gave back", "\"returned\""),
    ban("mend", "\"fix\""),
    ban("mended", "\"fixed\""),
    ban("bears", "\"has\""),
    ban("stands on", "\"depends on\""),
    // Private words for standard terms.
    ban("stranger", STANDARD_TERM),
    ban("strangers", STANDARD_TERM),
    ban("hoard", STANDARD_TERM),
    ban("hoards", STANDARD_TERM),
    ban("crowd", STANDARD_TERM),
    ban("crowds", STANDARD_TERM),
    // Filler and words that are out of use.
    ban("meanwhile", "\"while the handler runs\": name what runs"),
    ban("all else", "\"everything else\", or a list"),
    ban("all the same", "\"even so\", or nothing"),
    ban("in vain", "\"without effect\""),
    ban("for want of", "\"without\", \"because there is no\""),
    ban("but for", "\"except\""),
    ban("save for", "\"except\""),
    ban("anew", "\"again\""),
    ban("afresh", "\"again\""),
    ban("once more", "\"again\""),
    ban("seldom", "\"rarely\""),
    ban("not any more", "\"no longer\""),
    ban("of old", "\"earlier\""),
    ban("at a desk", "\"locally\""),
    ban("as it were", "nothing"),
    ban("lest", "\"so that … not\""),
    ban("albeit", "\"although\""),
    ban("whence", "\"from which\""),
    ban("thereof", "\"of it\", or the noun"),
    ban("hitherto", "\"until now\""),
    ban("henceforth", "\"from now on\""),
];

/// The banned phrases in `passage`, each with its line. Matches whole words, in any case, also
/// across line ends.
pub(crate) fn banned(passage: &Passage) -> Vec<(usize, &'static Banned)> {
    let words = passage.words();
    let mut found = Vec::new();
    let mut start = 0;
    while start < words.len() {
        // The longest phrase wins: "how manyeth" is one finding, not two.
        let matching = PHRASES.iter().filter(|banned| begins_with(&words[start..], banned.phrase));
        let longest = matching.max_by_key(|banned| banned.phrase.len());
        found.extend(longest.map(|banned| (words[start].line, banned)));
        start += longest.map_or(1, |banned| banned.phrase.split(' ').count());
    }
    found
}

fn begins_with(words: &[Word], phrase: &str) -> bool {
    let mut at = words.iter();
    phrase.split(' ').all(|expected| at.next().is_some_and(|word| word.text == expected))
}

#[cfg(test)]
mod tests {
    use super::super::passages::passages;
    use super::*;
    use std::collections::BTreeSet;

    fn found(text: &str) -> Vec<(usize, &'static str)> {
        passages("a.rs", text).iter().flat_map(banned).map(|(line, banned)| (line, banned.phrase)).collect()
    }

    #[test]
    fn a_phrase_is_found_in_comments_docs_and_messages() {
        for (text, expected) in [
            ("/// Whoever holds the lease.", vec![(1, "whoever")]),
            ("x; // NOBODY'S row", vec![(1, "nobody")]),
            ("// the row is let\n// go", vec![(1, "let go")]),
            ("f(\"rows are\ntold of here\")", vec![(2, "told of")]),
            ("// Counted, how manyeth.", vec![(1, "how manyeth")]),
        ] {
            assert_eq!(found(text), expected, "{text}");
        }
        let page = passages("a.md", "- All\n  else fails");
        assert_eq!(banned(&page[0])[0].0, 1);
    }

    #[test]
    fn standard_english_code_and_sentence_ends_are_not_found() {
        for text in [
            "// The lease that `nobody` holds.",
            "// They are let. Go on.",
            "// whoevers, renewal, mending, the tell-tale",
            "/// ```\n/// nobody()\n/// ```\n/// Fine.",
            "f(nobody, \"nobody\")",
            "// The two can be told apart, for a good reason.",
            "// The caller guarantees that there is a header.",
        ] {
            assert_eq!(found(text), [], "{text}");
        }
    }

    #[test]
    fn the_table_is_well_formed() {
        let phrases: BTreeSet<_> = PHRASES.iter().map(|banned| banned.phrase).collect();
        assert_eq!(phrases.len(), PHRASES.len(), "a phrase is listed twice");
        assert!(PHRASES.len() >= 40);
        assert!(phrases.iter().all(|phrase| phrase.to_lowercase() == **phrase));
    }
}
