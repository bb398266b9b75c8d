//! The table of contents of the door: resources, what can be done with each, and who may. Requests are led by
//! it, `describe/` tells it to clients, and the reference and the walk over all routes are made from it.

use super::{Call, Door};
use api::{Listed, Reply, Rule, Style};
use base::{Fault, Result};
use http::Method;
use percent_encoding::percent_decode_str;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

pub const API: &str = "/MAAS/api/2.0/";

type Handler =
    Arc<dyn Fn(Arc<Door>, Call) -> Pin<Box<dyn Future<Output = Result<Reply>> + Send>> + Send + Sync>;

/// Something that can be done with a resource.
pub struct Action {
    /// `read`, `create`, …, or that of the operation.
    pub name: &'static str,
    pub method: Method,
    /// Empty for the plain verbs.
    pub op: &'static str,
    pub rule: Rule,
    /// What it does; or why it is refused, and what to do instead.
    pub doc: &'static str,
    /// MAAS has it, and here it is refused for good.
    pub refused: bool,
    pub handler: Handler,
}

pub struct Resource {
    /// Such as `Machines`; clients know it as `MachinesHandler`.
    pub name: &'static str,
    /// Whole, with `{variables}` and a slash at the end.
    pub path: String,
    pub doc: &'static str,
    pub actions: Vec<Action>,
    /// Told to clients by `describe/`. Other addresses of the same thing, and what is not of the API, are not.
    pub described: bool,
    /// Bodies are not forms: handlers read them as they come.
    pub raw_body: bool,
}

#[derive(Default)]
pub struct Table {
    pub resources: Vec<Resource>,
}

impl Table {
    /// A resource of the API; `path` follows `/MAAS/api/2.0/`.
    pub fn at(&mut self, name: &'static str, path: &str, doc: &'static str) -> &mut Resource {
        self.add(name, format!("{API}{path}"), doc, true)
    }
    /// Something at a path from the root, which `describe/` leaves out.
    pub fn beside(&mut self, name: &'static str, path: &str, doc: &'static str) -> &mut Resource {
        self.add(name, path.to_owned(), doc, false)
    }
    fn add(&mut self, name: &'static str, path: String, doc: &'static str, described: bool) -> &mut Resource {
        let at = self.resources.len();
        self.resources.push(Resource { name, path, doc, actions: Vec::new(), described, raw_body: false });
        &mut self.resources[at]
    }
    /// The resource at a path and what its variables are; a slash at the end makes no difference.
    pub fn find(&self, path: &str) -> Option<(&Resource, Vec<(String, String)>)> {
        let parts: Vec<&str> = path.trim_end_matches('/').split('/').collect();
        // A word beats a variable: `boot-resources/import` is not the resource with that id.
        let found = self.resources.iter().filter_map(|r| Some((r, matches(&r.path, &parts)?)));
        found.min_by_key(|(_, variables)| variables.len())
    }
    /// Every action, for the tests that walk them and the reference that lists them.
    pub fn list(&self) -> Vec<Listed> {
        let mut all = Vec::new();
        for r in &self.resources {
            for a in &r.actions {
                let op = if a.op.is_empty() { String::new() } else { format!("?op={}", a.op) };
                let path = format!("{}{op}", r.path);
                all.push(Listed { method: a.method.clone(), path, rule: a.rule, style: Style::Maas });
            }
        }
        all
    }
}

fn matches(pattern: &str, parts: &[&str]) -> Option<Vec<(String, String)>> {
    let mut variables = Vec::new();
    let mut parts = parts.iter();
    for wanted in pattern.trim_end_matches('/').split('/') {
        let part = parts.next()?;
        match wanted.strip_prefix('{').and_then(|w| w.strip_suffix('}')) {
            Some(_) if part.is_empty() => return None,
            Some(name) => {
                variables.push((name.to_owned(), percent_decode_str(part).decode_utf8_lossy().into_owned()));
            }
            None if wanted == *part => {}
            None => return None,
        }
    }
    parts.next().is_none().then_some(variables)
}

macro_rules! verbs {
    ($($(#[$doc:meta])* $name:ident $op_name:ident $method:ident $word:literal),*) => {$(
        $(#[$doc])*
        pub fn $name<F, Fut>(&mut self, rule: Rule, doc: &'static str, f: F) -> &mut Self
        where
            F: Fn(Arc<Door>, Call) -> Fut + Send + Sync + 'static,
            Fut: Future<Output = Result<Reply>> + Send + 'static,
        {
            self.action(Method::$method, "", $word, rule, doc, f)
        }
        pub fn $op_name<F, Fut>(&mut self, op: &'static str, rule: Rule, doc: &'static str, f: F) -> &mut Self
        where
            F: Fn(Arc<Door>, Call) -> Fut + Send + Sync + 'static,
            Fut: Future<Output = Result<Reply>> + Send + 'static,
        {
            self.action(Method::$method, op, op, rule, doc, f)
        }
    )*};
}

impl Resource {
    verbs!(get op_get GET "read", post op_post POST "create");

    pub fn put<F, Fut>(&mut self, rule: Rule, doc: &'static str, f: F) -> &mut Self
    where
        F: Fn(Arc<Door>, Call) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Reply>> + Send + 'static,
    {
        self.action(Method::PUT, "", "update", rule, doc, f)
    }

    pub fn delete<F, Fut>(&mut self, rule: Rule, doc: &'static str, f: F) -> &mut Self
    where
        F: Fn(Arc<Door>, Call) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Reply>> + Send + 'static,
    {
        self.action(Method::DELETE, "", "delete", rule, doc, f)
    }

    /// Something that MAAS has and that is refused for good: `why`, and what to do instead. `op` is empty for
    /// the plain verb.
    pub fn refuse(&mut self, method: Method, op: &'static str, rule: Rule, why: &'static str) -> &mut Self {
        let name = match (op, &method) {
            ("", &Method::POST) => "create",
            ("", &Method::PUT) => "update",
            ("", &Method::DELETE) => "delete",
            (op, _) => op,
        };
        let no = move |_, _| async move { Err(Fault::new(base::Kind::NotImplemented, why)) };
        self.action(method, op, name, rule, why, no);
        if let Some(last) = self.actions.last_mut() {
            last.refused = true;
        }
        self
    }

    fn action<F, Fut>(
        &mut self,
        method: Method,
        op: &'static str,
        name: &'static str,
        rule: Rule,
        doc: &'static str,
        f: F,
    ) -> &mut Self
    where
        F: Fn(Arc<Door>, Call) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Reply>> + Send + 'static,
    {
        let handler: Handler = Arc::new(move |door, call| Box::pin(f(door, call)));
        self.actions.push(Action { name, method, op, rule, doc, refused: false, handler });
        self
    }

    /// Bodies are not forms.
    pub fn raw(&mut self) -> &mut Self {
        self.raw_body = true;
        self
    }

    /// The names of the variables in the path.
    pub fn variables(&self) -> Vec<&str> {
        self.path.split('/').filter_map(|p| p.strip_prefix('{')?.strip_suffix('}')).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_to_resources() {
        let mut table = Table::default();
        table.at("Thing", "things/{id}/", "");
        table.at("Special", "things/special/", "");
        let name = |path: &str| table.find(&format!("{API}{path}")).map(|(r, _)| r.name);
        assert_eq!(name("things/1"), Some("Thing"));
        assert_eq!(name("things/1/"), Some("Thing"));
        assert_eq!(name("things/special/"), Some("Special"));
        assert_eq!(name("things/"), None);
        assert_eq!(name("things/1/2/"), None);
        let (_, variables) = table.find(&format!("{API}things/a%2Fb%20c/")).unwrap();
        assert_eq!(variables, [("id".to_owned(), "a/b c".to_owned())]);
    }
}
