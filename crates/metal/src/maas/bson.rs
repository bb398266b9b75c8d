//! The little of BSON (bsonspec.org, version 1.1) that an answer needs: a document of binaries.

/// A document of named binaries, an empty one as null.
pub fn of_binaries(all: &[(&str, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, content) in all {
        body.push(if content.is_empty() { 0x0a } else { 0x05 });
        body.extend(name.as_bytes());
        body.push(0);
        if !content.is_empty() {
            body.extend(length(content.len()));
            body.push(0);
            body.extend(*content);
        }
    }
    let mut document = length(body.len() + 5).to_vec();
    document.extend(body);
    document.push(0);
    document
}

fn length(n: usize) -> [u8; 4] {
    i32::try_from(n).unwrap_or(i32::MAX).to_le_bytes()
}

#[cfg(test)]
mod tests {
    #[test]
    fn as_the_specification_has_it() {
        let document = super::of_binaries(&[("a", b"hi"), ("b", b"")]);
        assert_eq!(document, b"\x12\0\0\0\x05a\0\x02\0\0\0\0hi\x0ab\0\0");
    }
}
