//! `multipart/form-data` as MAAS clients send it (RFC 2046, RFC 7578): parts may be base64 inside
//! (`Content-Transfer-Encoding`, which browsers never send and usual parsers do not undo), and lines may end in
//! a bare LF. A body is whole in memory and bounded before it comes here.

use base::{Fault, Result};
use base64::Engine;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;

/// Most parts of a body.
pub const PARTS: usize = 2_000;
/// Longest head of a part, in bytes.
const HEAD: usize = 8_192;

/// A part: a field, or a file with its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    pub name: String,
    pub file: Option<String>,
    pub content: Bytes,
}

/// The boundary that a Content-Type names, if it is a form of parts.
pub fn boundary(content_type: &str) -> Option<String> {
    let (kind, rest) = content_type.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    parameter(rest, "boundary").filter(|b| !b.is_empty() && b.len() <= 200)
}

/// A parameter of a header: `; name=value` or `; name="va\"lue"`.
fn parameter(text: &str, wanted: &str) -> Option<String> {
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([';', ' ', '\t']);
        let (name, after) = rest.split_once('=')?;
        let (value, after) = value_of(after);
        if name.trim().eq_ignore_ascii_case(wanted) {
            return Some(value);
        }
        rest = after;
    }
}

fn value_of(text: &str) -> (String, &str) {
    let Some(quoted) = text.trim_start().strip_prefix('"') else {
        let end = text.find(';').unwrap_or(text.len());
        let (value, rest) = text.split_at(end);
        return (value.trim().to_owned(), rest);
    };
    let (mut value, mut escaped) = (String::new(), false);
    for (at, c) in quoted.char_indices() {
        match c {
            _ if escaped => {
                value.push(c);
                escaped = false;
            }
            '\\' => escaped = true,
            '"' => return (value, &quoted[at + 1..]),
            _ => value.push(c),
        }
    }
    (value, "")
}

fn wrong(why: &str) -> Fault {
    Fault::bad_request(format!("The multipart body cannot be read: {why}."))
}

/// Every part, in order.
///
/// # Errors
/// 400 for a body that is cut off or holds a part without a name, 400 for one with too many.
pub fn parse(boundary: &str, body: &Bytes) -> Result<Vec<Part>> {
    let mark = format!("--{boundary}").into_bytes();
    let mut parts = Vec::new();
    let mut at = next_mark(body, 0, &mark).ok_or_else(|| wrong("its boundary is nowhere"))?.1;
    loop {
        if body[at..].starts_with(b"--") {
            return Ok(parts);
        }
        let start = line_end(body, at).ok_or_else(|| wrong("it is cut off"))?;
        let (end, next) = next_mark(body, start, &mark).ok_or_else(|| wrong("it is cut off"))?;
        if parts.len() == PARTS {
            return Err(wrong("it has too many parts"));
        }
        // A form without fields is written as one part without anything.
        if !body[start..end.max(start)].iter().all(u8::is_ascii_whitespace) {
            parts.push(part(body, start, end)?);
        }
        at = next;
    }
}

/// Where the next boundary's line begins (the line end before it left out), and what follows the mark.
fn next_mark(body: &[u8], from: usize, mark: &[u8]) -> Option<(usize, usize)> {
    let mut at = from;
    while at + mark.len() <= body.len() {
        let found = at + find(&body[at..], mark)?;
        let at_line = found == from || body[found - 1] == b'\n';
        let after = &body[found + mark.len()..];
        let whole = after.starts_with(b"--") || line_is_blank(after);
        if at_line && whole {
            let mut end = found;
            if end > from {
                end -= 1;
                if end > from && body[end - 1] == b'\r' {
                    end -= 1;
                }
            }
            return Some((end, found + mark.len()));
        }
        at = found + 1;
    }
    None
}

/// Whether nothing but blanks stands before the end of the line.
fn line_is_blank(text: &[u8]) -> bool {
    let rest = text.iter().position(|b| !matches!(b, b' ' | b'\t' | b'\r'));
    rest.is_some_and(|i| text[i] == b'\n')
}

fn line_end(body: &[u8], from: usize) -> Option<usize> {
    Some(from + body[from..].iter().position(|b| *b == b'\n')? + 1)
}

fn find(hay: &[u8], needle: &[u8]) -> Option<usize> {
    let first = *needle.first()?;
    let mut at = 0;
    while let Some(i) = hay[at..].iter().position(|b| *b == first) {
        at += i;
        if hay[at..].starts_with(needle) {
            return Some(at);
        }
        at += 1;
    }
    None
}

fn part(body: &Bytes, start: usize, end: usize) -> Result<Part> {
    let (mut name, mut file, mut coded) = (None, None, String::new());
    let mut at = start;
    loop {
        if at > end || at - start > HEAD {
            return Err(wrong("the head of a part does not end"));
        }
        let next = line_end(body, at).ok_or_else(|| wrong("it is cut off"))?;
        let line = String::from_utf8_lossy(&body[at..next]);
        let line = line.trim_end_matches(['\r', '\n']);
        at = next;
        if line.is_empty() {
            break;
        }
        let (header, value) =
            line.split_once(':').ok_or_else(|| wrong("a part has a line that is no header"))?;
        match header.trim().to_ascii_lowercase().as_str() {
            "content-disposition" => {
                let parameters = value.split_once(';').map_or("", |(_, p)| p);
                name = parameter(parameters, "name");
                file = parameter(parameters, "filename");
            }
            "content-transfer-encoding" => coded = value.trim().to_ascii_lowercase(),
            _ => {}
        }
    }
    let name = name.ok_or_else(|| wrong("a part has no name"))?;
    // An empty part's blank line is the one before the boundary.
    let content = if at >= end { Bytes::new() } else { body.slice(at..end) };
    Ok(Part { content: decoded(content, &coded, &name)?, name, file })
}

const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Base64 with line breaks or blanks anywhere.
///
/// # Errors
/// 400 for other characters.
pub fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let tight: Vec<u8> = text.iter().copied().filter(|b| !b.is_ascii_whitespace()).collect();
    LENIENT.decode(tight).ok()
}

fn decoded(content: Bytes, coded: &str, name: &str) -> Result<Bytes> {
    match coded {
        "" | "7bit" | "8bit" | "binary" => Ok(content),
        "base64" => base64(&content).map(Bytes::from).ok_or_else(|| wrong(&format!("{name} is not base64"))),
        other => Err(wrong(&format!("{name} is encoded as {other}; send base64 or binary"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn field(name: &str, content: &[u8]) -> Part {
        Part { name: name.into(), file: None, content: Bytes::copy_from_slice(content) }
    }

    #[test]
    fn parts_as_clients_write_them() {
        let body = "--=b=\r\nContent-Type: text/plain; charset=\"utf-8\"\r\nMIME-Version: 1.0\r\n\
            Content-Transfer-Encoding: base64\r\nContent-Disposition: form-data; name=\"distro_series\"\r\n\r\nZGViaWFu\r\n\r\n\
            --=b=\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a \\\"b\\\"\"\r\n\r\nx\r\ny\r\n\
            --=b=\r\ncontent-disposition: form-data; name=empty\r\n\r\n\r\n--=b=--\r\n";
        let parts = parse("=b=", &Bytes::from_static(body.as_bytes())).unwrap();
        let mut file = field("file", b"x\r\ny");
        file.file = Some("a \"b\"".into());
        assert_eq!(parts, [field("distro_series", b"debian"), file, field("empty", b"")]);
        // The same with bare line feeds, and text before the first boundary.
        let body = format!("preamble\n{}", body.replace("\r\n", "\n"));
        assert_eq!(parse("=b=", &Bytes::from(body)).unwrap()[0], field("distro_series", b"debian"));
    }

    #[test]
    fn a_form_without_fields() {
        for body in ["--b\n\n--b--\n", "--b\r\n\r\n--b--\r\n", "--b--", "--b\r\n--b--\r\n"] {
            assert_eq!(parse("b", &Bytes::from_static(body.as_bytes())).unwrap(), [], "{body:?}");
        }
    }

    #[test]
    fn what_is_refused() {
        for bad in [
            "",
            "--b",
            "--b\r\n",
            "--b\r\n\r\nx\r\n--b--",
            "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nx",
            "--b\r\nno header\r\n\r\nx\r\n--b--",
            "--b\r\nContent-Disposition: form-data; name=a\r\nContent-Transfer-Encoding: base64\r\n\r\n?\r\n--b--",
            "--b\r\nContent-Disposition: form-data; name=a\r\nContent-Transfer-Encoding: uuencode\r\n\r\n?\r\n--b--",
        ] {
            assert!(parse("b", &Bytes::from_static(bad.as_bytes())).is_err(), "{bad:?}");
        }
        assert_eq!(boundary("multipart/form-data; charset=x; boundary=\"a b\"").unwrap(), "a b");
        assert_eq!(boundary("multipart/mixed; boundary=a"), None);
        assert_eq!(boundary("multipart/form-data"), None);
    }

    proptest! {
        /// Whatever is sent, an answer comes, and never a panic.
        #[test]
        fn anything_at_all(body in proptest::collection::vec(any::<u8>(), 0..400), kind in ".{0,60}") {
            let _ = boundary(&kind);
            let _ = parse("b", &Bytes::from(body));
        }

        /// The same with pieces that look like a form.
        #[test]
        fn nearly_a_form(pieces in proptest::collection::vec(prop::sample::select(vec![
            "--b", "--", "\r\n", "\n", "\r", "Content-Disposition: form-data; name=\"a\"", "name=", ";", "\"", ":",
            "Content-Transfer-Encoding: base64", "aGk=", "é",
        ]), 0..30)) {
            let _ = parse("b", &Bytes::from(pieces.concat()));
        }

        /// What is written comes back, whatever bytes it is made of.
        #[test]
        fn content_survives(content in proptest::collection::vec(any::<u8>(), 0..300), coded: bool) {
            let mut body = b"--bound\r\nContent-Disposition: form-data; name=\"a\"\r\n".to_vec();
            if coded {
                body.extend(b"Content-Transfer-Encoding: base64\r\n\r\n");
                body.extend(base64::engine::general_purpose::STANDARD.encode(&content).as_bytes());
            } else {
                body.extend(b"\r\n");
                body.extend(&content);
            }
            body.extend(b"\r\n--bound--\r\n");
            prop_assert_eq!(parse("bound", &Bytes::from(body)).unwrap(), vec![field("a", &content)]);
        }
    }
}
