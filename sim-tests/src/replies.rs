//! The replies of the page, and whether HTTP allows them. The table follows the rules of HTTP and
//! not the code under test.

use crate::draw::Draw;
use tidegate_core::HandlerReply;

type Header = (&'static str, &'static str);

/// A status, a header, and whether both can be sent.
const REPLIES: [(u16, Option<Header>, bool); 16] = [
    (200, None, true),
    (204, Some(("X-Fine.~1", "tab\tand blank")), true),
    (599, Some(("x", "")), true),
    (199, None, false),
    (600, None, false),
    (0, Some(("x-fine", "1")), false),
    (200, Some(("", "without a name")), false),
    (200, Some(("two words", "1")), false),
    (200, Some(("colon:", "1")), false),
    (200, Some(("x-bell", "a\u{7}b")), false),
    (200, Some(("x-line", "a\nb")), false),
    (200, Some(("x-umlaut", "ü")), false),
    (200, Some(("x-delete", "\u{7f}")), false),
    (200, Some(("Content-Length", "1")), false),
    (200, Some(("connection", "close")), false),
    (200, Some(("Transfer-Encoding", "chunked")), false),
];

/// Mostly the first reply; sometimes any of them, or none.
pub(crate) fn draw(draw: &mut Draw) -> Option<HandlerReply> {
    let (status, header, _) = if draw.permille(850) { REPLIES[0] } else { draw.one(&REPLIES) };
    let headers = header.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    (!draw.permille(20)).then_some(HandlerReply { status, headers, body: None })
}

/// True if a caller may get this reply.
pub(crate) fn can_be_sent(reply: Option<&HandlerReply>) -> bool {
    let Some(reply) = reply else { return false };
    let header = reply.headers.first().map(|(name, value)| (name.as_str(), value.as_str()));
    REPLIES.iter().any(|(status, known, can_be_sent)| *can_be_sent && *status == reply.status && *known == header)
}
