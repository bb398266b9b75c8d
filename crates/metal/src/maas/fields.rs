//! What a request says beside its path: query, form or parts, as one list of names with values, in order and
//! with repetitions. Clients of MAAS are free in where they put a field.

use super::multipart;
use api::{FIELDS, Query};
use base::{Fault, Result};
use bytes::Bytes;
use serde_json::json;

/// Longest body of a form, in bytes.
pub const FORM_LIMIT: usize = 32 << 20;
/// Most fields of a request.
const FIELDS_MAX: usize = super::multipart::PARTS;
/// Longest text of a field that is not a file or user data, in characters.
const TEXT: usize = 65_536;

#[derive(Debug, Clone, Default)]
pub struct Fields {
    list: Vec<(String, Bytes)>,
}

/// The refusal of one field.
pub fn invalid(field: &str, why: impl AsRef<str>) -> Fault {
    Fault::bad_request(json!({ field: [why.as_ref()] }).to_string()).tag(FIELDS)
}

fn too_many() -> Fault {
    Fault::bad_request(format!("A request has at most {FIELDS_MAX} fields. Send fewer at a time."))
}

impl Fields {
    pub fn of_query(query: &Query) -> Self {
        let list = query.0.iter().map(|(k, v)| (k.clone(), Bytes::from(v.clone()))).collect();
        Fields { list }
    }

    /// Adds what a body holds.
    ///
    /// # Errors
    /// 400 for parts that cannot be read, 415 for a body that is neither form nor parts.
    pub fn add_body(&mut self, content_type: &str, body: &Bytes) -> Result<()> {
        let kind = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if body.is_empty() {
            return Ok(());
        }
        if let Some(boundary) = multipart::boundary(content_type) {
            let parts = multipart::parse(&boundary, body)?;
            self.list.extend(parts.into_iter().map(|p| (p.name, p.content)));
            return Ok(());
        }
        match kind.as_str() {
            "application/x-www-form-urlencoded" | "" => {
                // Before there is a list of them, which would take many times the room of the form.
                if body.iter().filter(|b| **b == b'&').count() >= FIELDS_MAX {
                    return Err(too_many());
                }
                let text =
                    std::str::from_utf8(body).map_err(|_| Fault::bad_request("The form is not text."))?;
                self.list.extend(Query::parse(Some(text)).0.into_iter().map(|(k, v)| (k, Bytes::from(v))));
                Ok(())
            }
            "application/json" => self.add_json(body),
            other => Err(Fault::new(
                base::Kind::UnsupportedMedia,
                format!("Send application/x-www-form-urlencoded or multipart/form-data, not {other}."),
            )),
        }
    }

    fn add_json(&mut self, body: &Bytes) -> Result<()> {
        let value: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(body)
            .map_err(|e| Fault::bad_request(format!("The body is not a JSON object ({e}).")))?;
        for (name, value) in value {
            let all = match value {
                serde_json::Value::Array(all) => all,
                one => vec![one],
            };
            for value in all {
                let text = match value {
                    serde_json::Value::String(s) => s,
                    serde_json::Value::Null => continue,
                    other => other.to_string(),
                };
                self.list.push((name.clone(), Bytes::from(text)));
            }
        }
        Ok(())
    }

    /// # Errors
    /// 400 for more fields than anybody needs, and for a name with a zero character, as a note of a machine could have
    /// one.
    pub fn check(&self) -> Result<()> {
        if self.list.len() > FIELDS_MAX {
            return Err(too_many());
        }
        match self.list.iter().any(|(name, _)| name.contains('\0')) {
            true => Err(Fault::bad_request("The name of a field holds a zero character.")),
            false => Ok(()),
        }
    }

    /// Every name, in order, with its value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Bytes)> {
        self.list.iter().map(|(k, v)| (k.as_str(), v))
    }

    pub fn has(&self, name: &str) -> bool {
        self.bytes(name).is_some()
    }

    /// The first value of a name as it came.
    pub fn bytes(&self, name: &str) -> Option<&Bytes> {
        self.list.iter().find(|(k, _)| k == name).map(|(_, v)| v)
    }

    /// The first value of a name as text; none when it is empty.
    ///
    /// # Errors
    /// 400 when it is no text, has a zero character or is too long.
    pub fn text(&self, name: &str) -> Result<Option<String>> {
        Ok(self.raw_text(name)?.filter(|t| !t.is_empty()))
    }

    /// As [`Fields::text`], but an empty value is a value: it clears something.
    pub fn raw_text(&self, name: &str) -> Result<Option<String>> {
        self.bytes(name).map(|bytes| text_of(name, bytes)).transpose()
    }

    /// # Errors
    /// 400 when it is missing or empty.
    pub fn need(&self, name: &str) -> Result<String> {
        self.text(name)?.ok_or_else(|| invalid(name, "This field is required."))
    }

    /// Every value of a name, empty ones left out.
    pub fn all(&self, name: &str) -> Result<Vec<String>> {
        let values = self.list.iter().filter(|(k, _)| k == name).map(|(_, v)| text_of(name, v));
        Ok(values.collect::<Result<Vec<_>>>()?.into_iter().filter(|v| !v.is_empty()).collect())
    }

    /// As [`Fields::all`], with each value cut at commas and blanks as well.
    pub fn words(&self, name: &str) -> Result<Vec<String>> {
        let all = self.all(name)?;
        let cut = all.iter().flat_map(|v| v.split([',', ' ', '\n'])).map(str::trim);
        Ok(cut.filter(|w| !w.is_empty()).map(str::to_owned).collect())
    }

    /// Yes or no in the spellings that clients use.
    ///
    /// # Errors
    /// 400 for another value.
    pub fn bool(&self, name: &str) -> Result<Option<bool>> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        match text.to_ascii_lowercase().as_str() {
            "1" | "true" | "t" | "yes" | "y" | "on" => Ok(Some(true)),
            "0" | "false" | "f" | "no" | "n" | "off" | "none" => Ok(Some(false)),
            _ => Err(invalid(name, format!("{text:?} is neither true nor false."))),
        }
    }

    /// A whole number; `4.0` is 4, as clients in scripting languages write it.
    ///
    /// # Errors
    /// 400 for anything else.
    pub fn int(&self, name: &str) -> Result<Option<i64>> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        let whole = text.strip_suffix(".0").unwrap_or(&text);
        whole.parse().map(Some).map_err(|_| invalid(name, "Enter a whole number."))
    }
}

/// A value as text.
///
/// # Errors
/// 400 when it is no text, has a zero character or is too long.
pub fn text_of(name: &str, bytes: &Bytes) -> Result<String> {
    let text = std::str::from_utf8(bytes).map_err(|_| invalid(name, "This is not text in UTF-8."))?;
    if text.contains('\0') {
        return Err(invalid(name, "Null characters are not allowed."));
    }
    if text.chars().count() > TEXT {
        return Err(invalid(name, format!("Ensure this value has at most {TEXT} characters.")));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn query_and_form_are_one_list() {
        let mut fields = Fields::of_query(&Query::parse(Some("op=&tags=a&tags=b+c&x=%C3%A9")));
        let form = Bytes::from_static(b"tags=d%2Ce&dry_run=True&cpu_count=4.0&bad=maybe");
        fields.add_body("application/x-www-form-urlencoded; charset=utf-8", &form).unwrap();
        assert_eq!(fields.text("op").unwrap(), None);
        assert_eq!(fields.all("tags").unwrap(), ["a", "b c", "d,e"]);
        assert_eq!(fields.words("tags").unwrap(), ["a", "b", "c", "d", "e"]);
        assert_eq!(fields.text("x").unwrap().unwrap(), "é");
        assert_eq!(fields.bool("dry_run").unwrap(), Some(true));
        assert_eq!(fields.int("cpu_count").unwrap(), Some(4));
        assert_eq!(
            fields.bool("bad").unwrap_err().message,
            r#"{"bad":["\"maybe\" is neither true nor false."]}"#
        );
        assert!(fields.need("nothing").is_err());
    }

    #[test]
    fn bodies_of_other_kinds_are_refused() {
        let mut fields = Fields::default();
        assert!(fields.add_body("text/plain", &Bytes::from_static(b"x")).is_err());
        fields.add_body("text/plain", &Bytes::new()).unwrap();
        fields.add_body("application/json", &Bytes::from_static(br#"{"a": ["x", 1], "b": true}"#)).unwrap();
        assert_eq!(fields.all("a").unwrap(), ["x", "1"]);
        assert_eq!(fields.bool("b").unwrap(), Some(true));
    }
}
