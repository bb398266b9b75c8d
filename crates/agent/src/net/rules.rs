//! Rule sets for nft: whole, or only the elements of sets where nothing else changed.
//!
//! A whole rule set is one transaction that replaces our tables. Base chains have the policy
//! `accept` and end in an explicit drop: the kernel runs a new base chain's policy before the
//! transaction is through, and a policy of `drop` would lose packets at every change.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// The tables of one namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    /// By family and name, such as `inet hanok`.
    pub tables: BTreeMap<String, Table>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    /// By name.
    pub sets: BTreeMap<String, Set>,
    /// The chains, as nft reads them.
    pub chains: String,
}

/// A named set, or a map (its elements then read `key : value`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set {
    /// How it is declared, such as `set` and `type ipv4_addr;`.
    pub keyword: &'static str,
    pub kind: &'static str,
    pub elements: BTreeSet<String>,
}

impl Rules {
    /// The text that brings the kernel from `have` (`None`: unknown) to `self`; `None` when nothing
    /// changed.
    pub fn text(&self, have: Option<&Rules>) -> Option<String> {
        match have {
            Some(have) if have == self => None,
            Some(have) if have.shape() == self.shape() => Some(self.elements(have)),
            _ => Some(self.whole(have)),
        }
    }

    fn shape(&self) -> Vec<(&str, &str, Vec<&str>)> {
        let tables = self.tables.iter();
        tables
            .map(|(n, t)| (n.as_str(), t.chains.as_str(), t.sets.keys().map(String::as_str).collect()))
            .collect()
    }

    fn whole(&self, have: Option<&Rules>) -> String {
        let mut text = String::new();
        let old = have.into_iter().flat_map(|h| h.tables.keys());
        for name in self.tables.keys().chain(old).collect::<BTreeSet<_>>() {
            // Adding first makes the removal right whether the table exists or not.
            let _ = writeln!(text, "add table {name}\ndelete table {name}");
        }
        for (name, table) in &self.tables {
            let _ = writeln!(text, "table {name} {{");
            for (set, body) in &table.sets {
                let _ = writeln!(text, "{} {set} {{\n{}", body.keyword, body.kind);
                if !body.elements.is_empty() {
                    let _ = writeln!(text, "elements = {{ {} }}", join(body.elements.iter()));
                }
                text.push_str("}\n");
            }
            let _ = writeln!(text, "{}\n}}", table.chains);
        }
        text
    }

    fn elements(&self, have: &Rules) -> String {
        let mut text = String::new();
        for (name, table) in &self.tables {
            for (set, body) in &table.sets {
                let none = BTreeSet::new();
                let old = have.tables.get(name).and_then(|t| t.sets.get(set)).map_or(&none, |s| &s.elements);
                let mut change = |verb: &str, which: Vec<&String>| {
                    if !which.is_empty() {
                        let _ =
                            writeln!(text, "{verb} element {name} {set} {{ {} }}", join(which.into_iter()));
                    }
                };
                change("delete", old.difference(&body.elements).collect());
                change("add", body.elements.difference(old).collect());
            }
        }
        text
    }
}

pub fn join<T: ToString>(items: impl Iterator<Item = T>) -> String {
    items.map(|i| i.to_string()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(members: &[&str], chains: &str) -> Rules {
        let elements = members.iter().map(|m| (*m).to_owned()).collect();
        let set = Set { keyword: "set", kind: "type ipv4_addr;", elements };
        let table = Table { sets: [("m".into(), set)].into(), chains: chains.into() };
        Rules { tables: [("inet hanok".into(), table)].into() }
    }

    #[test]
    fn a_membership_change_is_a_set_update() {
        let have = rules(&["10.0.0.1", "10.0.0.2"], "chain a { }");
        assert_eq!(have.text(Some(&have)), None);
        let text = rules(&["10.0.0.2", "10.0.0.3"], "chain a { }").text(Some(&have)).unwrap();
        assert_eq!(text, "delete element inet hanok m { 10.0.0.1 }\nadd element inet hanok m { 10.0.0.3 }\n");
        let text = rules(&[], "chain b { }").text(Some(&have)).unwrap();
        assert!(text.starts_with("add table inet hanok\ndelete table inet hanok\n"), "{text}");
        assert!(have.text(None).unwrap().contains("elements = { 10.0.0.1, 10.0.0.2 }"));
    }
}
