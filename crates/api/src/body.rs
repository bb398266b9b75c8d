//! Bodies as a whole, and checks on JSON in them with the words that Identity and Compute use for a refusal.
//!
//! `null` means absent everywhere, because clients send explicit nulls.

use axum::body::Body;
use base::{Fault, Kind, Result};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::time::Duration;

/// How long any body may take, and one of so many bytes beyond that for each second. What has arrived is held in memory
/// until the rest has.
const PATIENCE: Duration = Duration::from_secs(30);
const SLOWEST: usize = 64 << 10;

/// The whole of a body of `limit` bytes at most.
///
/// # Errors
/// 413 when it is cut off or longer, 400 when it takes too long.
pub async fn whole(body: Body, limit: usize) -> Result<Bytes> {
    within(body, limit, PATIENCE + Duration::from_secs((limit / SLOWEST) as u64)).await
}

async fn within(body: Body, limit: usize, patience: Duration) -> Result<Bytes> {
    match tokio::time::timeout(patience, axum::body::to_bytes(body, limit)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(_)) => Err(Fault::new(
            Kind::TooLarge,
            format!("The request body is cut off or longer than {limit} bytes."),
        )),
        Err(_) => Err(Fault::bad_request(format!(
            "The request body did not arrive within {} seconds. Send it again.",
            patience.as_secs()
        ))),
    }
}

/// How JSON writes the zero character: as it is it may not stand there (RFC 8259, section 7).
const ZERO: &[u8] = br"\u0000";

fn may_hold_zeros(bytes: &[u8]) -> bool {
    bytes.windows(ZERO.len()).any(|w| w == ZERO)
}

/// The JSON of a client's body. Nothing that is kept has a zero character in a text or a name: PostgreSQL refuses
/// them, and what works there and on SQLite is the same.
///
/// # Errors
/// 400 when it is no JSON, or holds one.
pub fn json(bytes: &[u8]) -> Result<Value> {
    let value: Value = serde_json::from_slice(bytes)
        .map_err(|e| Fault::bad_request(format!("Malformed request body: it is not valid JSON ({e}).")))?;
    // Most bodies are not walked at all.
    match may_hold_zeros(bytes).then(|| zero_in(&value, "")).flatten() {
        None => Ok(value),
        Some(place) => Err(Fault::bad_request(format!(
            "Invalid input for field/attribute {}. It holds a zero character (\\u0000). Leave that out.",
            if place.is_empty() { "body" } else { &place }
        ))),
    }
}

/// Where a zero character is: `server.metadata`, `tags[2]`.
fn zero_in(value: &Value, place: &str) -> Option<String> {
    match value {
        Value::String(s) => s.contains('\0').then(|| place.to_owned()),
        Value::Array(all) => all.iter().enumerate().find_map(|(n, v)| zero_in(v, &format!("{place}[{n}]"))),
        Value::Object(map) => map.iter().find_map(|(name, v)| match name.contains('\0') {
            true => Some(place.to_owned()),
            false => zero_in(v, &if place.is_empty() { name.clone() } else { format!("{place}.{name}") }),
        }),
        _ => None,
    }
}

/// What a program of ours reports (a rack, a host, a live system), less the zero characters in it. They come from names
/// and answers of others, and a report that is refused for one would be refused for ever.
///
/// # Errors
/// 400 when it is not what it should be.
pub fn report<T: DeserializeOwned>(bytes: &[u8], what: &str) -> Result<T> {
    let read = || {
        if !may_hold_zeros(bytes) {
            return serde_json::from_slice(bytes);
        }
        let mut value = serde_json::from_slice(bytes)?;
        cut_zeros(&mut value);
        serde_json::from_value(value)
    };
    read().map_err(|e| Fault::bad_request(format!("This is no {what}: {e}.")))
}

fn cut_zeros(value: &mut Value) {
    match value {
        Value::String(s) => s.retain(|c| c != '\0'),
        Value::Array(all) => all.iter_mut().for_each(cut_zeros),
        Value::Object(map) => {
            *map = std::mem::take(map).into_iter().map(|(name, v)| (name.replace('\0', ""), v)).collect();
            map.values_mut().for_each(cut_zeros);
        }
        _ => {}
    }
}

/// A JSON object of a request, with its name for messages.
#[derive(Debug, Clone)]
pub struct Obj {
    pub name: String,
    pub map: Map<String, Value>,
}

impl Obj {
    pub fn root(value: Value) -> Result<Obj> {
        match value {
            Value::Object(map) => Ok(Obj { name: "body".into(), map }),
            _ => Err(Fault::bad_request("Malformed request body: a JSON object is expected.")),
        }
    }
    fn invalid(&self, field: &str, why: &str) -> Fault {
        let value = self.map.get(field).unwrap_or(&Value::Null).to_string();
        let value: String = value.chars().take(200).collect();
        Fault::bad_request(format!("Invalid input for field/attribute {field}. Value: {value}. {why}"))
    }
    fn present(&self, field: &str) -> Option<&Value> {
        self.map.get(field).filter(|v| !v.is_null())
    }
    fn missing(&self, field: &str) -> Fault {
        let value: String = Value::Object(self.map.clone()).to_string().chars().take(200).collect();
        Fault::bad_request(format!(
            "Invalid input for field/attribute {}. Value: {value}. '{field}' is a required property",
            self.name
        ))
    }
    /// Takes the object under `field`: `{"server": {…}}`.
    pub fn inner(&self, field: &str) -> Result<Obj> {
        self.opt_inner(field)?.ok_or_else(|| self.missing(field))
    }
    pub fn opt_inner(&self, field: &str) -> Result<Option<Obj>> {
        match self.present(field) {
            None => Ok(None),
            Some(Value::Object(map)) => Ok(Some(Obj { name: field.to_owned(), map: map.clone() })),
            Some(_) => Err(self.invalid(field, "It is not of type 'object'")),
        }
    }
    /// Whether the field was sent at all, `null` included.
    pub fn has(&self, field: &str) -> bool {
        self.map.contains_key(field)
    }
    /// Whether the field was sent as `null`.
    pub fn is_null(&self, field: &str) -> bool {
        self.map.get(field).is_some_and(Value::is_null)
    }
    /// Text of at most `max` characters.
    pub fn opt_str(&self, field: &str, max: usize) -> Result<Option<String>> {
        match self.present(field) {
            None => Ok(None),
            Some(Value::String(s)) if s.chars().count() > max => {
                Err(self.invalid(field, &format!("It is too long: at most {max} characters are allowed")))
            }
            Some(Value::String(s)) => Ok(Some(s.clone())),
            Some(_) => Err(self.invalid(field, "It is not of type 'string'")),
        }
    }
    pub fn str(&self, field: &str, max: usize) -> Result<String> {
        self.opt_str(field, max)?.ok_or_else(|| self.missing(field))
    }
    /// Text that must not be empty or only blanks.
    pub fn name(&self, field: &str, max: usize) -> Result<String> {
        let s = self.str(field, max)?;
        if s.trim().is_empty() { Err(self.invalid(field, "It is too short")) } else { Ok(s) }
    }
    /// True or false, also in OpenStack's spellings as text.
    pub fn opt_bool(&self, field: &str) -> Result<Option<bool>> {
        match self.present(field) {
            None => Ok(None),
            Some(Value::Bool(b)) => Ok(Some(*b)),
            Some(Value::String(s)) => match s.to_ascii_lowercase().as_str() {
                "true" | "1" | "yes" | "on" => Ok(Some(true)),
                "false" | "0" | "no" | "off" => Ok(Some(false)),
                _ => Err(self.invalid(field, "It is not of type 'boolean'")),
            },
            Some(_) => Err(self.invalid(field, "It is not of type 'boolean'")),
        }
    }
    /// A whole number within `min..=max`, also written as text.
    pub fn opt_int(&self, field: &str, min: i64, max: i64) -> Result<Option<i64>> {
        let n = match self.present(field) {
            None => return Ok(None),
            Some(Value::Number(n)) => n.as_i64(),
            Some(Value::String(s)) => s.parse().ok(),
            Some(_) => None,
        };
        let Some(n) = n else { return Err(self.invalid(field, "It is not of type 'integer'")) };
        if n < min {
            return Err(self.invalid(field, &format!("{n} is less than the minimum of {min}")));
        }
        if n > max {
            return Err(self.invalid(field, &format!("{n} is greater than the maximum of {max}")));
        }
        Ok(Some(n))
    }
    pub fn int(&self, field: &str, min: i64, max: i64) -> Result<i64> {
        self.opt_int(field, min, max)?.ok_or_else(|| self.missing(field))
    }
    pub fn opt_list(&self, field: &str) -> Result<Option<&Vec<Value>>> {
        match self.present(field) {
            None => Ok(None),
            Some(Value::Array(list)) => Ok(Some(list)),
            Some(_) => Err(self.invalid(field, "It is not of type 'array'")),
        }
    }
    /// A list of texts.
    pub fn opt_strs(&self, field: &str, max: usize) -> Result<Option<Vec<String>>> {
        let Some(list) = self.opt_list(field)? else { return Ok(None) };
        let texts = list.iter().map(|v| match v {
            Value::String(s) if s.chars().count() <= max => Ok(s.clone()),
            _ => Err(self.invalid(field, &format!("Each must be text of at most {max} characters"))),
        });
        texts.collect::<Result<_>>().map(Some)
    }
    /// An id of ours.
    ///
    /// # Errors
    /// 400 when it does not look like one.
    pub fn opt_id<T: std::str::FromStr>(&self, field: &str) -> Result<Option<T>> {
        let Some(s) = self.opt_str(field, 64)? else { return Ok(None) };
        s.parse().map(Some).map_err(|_| self.invalid(field, &format!("'{s}' is not a 'uuid'")))
    }
    pub fn id<T: std::str::FromStr>(&self, field: &str) -> Result<T> {
        self.opt_id(field)?.ok_or_else(|| self.missing(field))
    }
    /// Refuses fields that are not in the list.
    pub fn only(&self, known: &[&str]) -> Result<()> {
        match self.map.keys().find(|k| !known.contains(&k.as_str())) {
            None => Ok(()),
            Some(k) => Err(Fault::bad_request(format!(
                "Invalid input for field/attribute {}. Additional properties are not allowed ('{k}' was unexpected)",
                self.name
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[tokio::test]
    async fn a_body_that_does_not_come_is_not_waited_for() {
        let never = futures_util::stream::pending::<std::io::Result<Bytes>>();
        let begun = futures_util::stream::iter([Ok(Bytes::from_static(b"{"))]);
        let slow = Body::from_stream(futures_util::StreamExt::chain(begun, never));
        let no = within(slow, 10, Duration::from_millis(1)).await.unwrap_err();
        assert_eq!(no.kind, Kind::BadRequest);
        assert_eq!(whole(Body::from("12345"), 4).await.unwrap_err().kind, Kind::TooLarge);
        assert_eq!(whole(Body::from("1234"), 4).await.unwrap(), "1234");
    }

    #[test]
    fn zero_characters_are_refused_wherever_they_are() {
        for (body, place) in [
            (r#"{"server": {"name": "a\u0000b"}}"#, "server.name"),
            (r#"{"server": {"metadata": {"k\u0000": "v"}}}"#, "server.metadata"),
            (r#"{"tags": ["a", "b", "\u0000"]}"#, "tags[2]"),
            (r#"["\u0000"]"#, "[0]"),
            (r#"{"\u0000": 1}"#, "body"),
        ] {
            let no = json(body.as_bytes()).unwrap_err();
            assert_eq!(no.kind, base::Kind::BadRequest);
            assert!(no.message.contains(&format!("attribute {place}. It holds a zero")), "{}", no.message);
        }
        // A backslash that is itself written with one, and characters near zero.
        for good in [r#"{"a": "\\u0000"}"#, r#"{"a": "\u0001"}"#] {
            json(good.as_bytes()).unwrap();
        }
        assert_eq!(json(b"{").unwrap_err().kind, base::Kind::BadRequest);
    }

    #[test]
    fn a_report_is_taken_without_its_zero_characters() {
        let told: Value =
            report(br#"{"leases": [{"name\u0000": "pc\u0000", "raw": "\\u0000", "n": 7}]}"#, "report")
                .unwrap();
        assert_eq!(told, json!({"leases": [{"name": "pc", "raw": "\\u0000", "n": 7}]}));
        assert!(report::<Vec<u8>>(br#""\u0000""#, "list").unwrap_err().message.contains("no list"));
    }
}
