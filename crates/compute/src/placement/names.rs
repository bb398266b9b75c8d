//! Resource classes: what a host has, in Placement's names. There are three.

use super::answer;
use crate::Compute;
use crate::planner::{CPU_RATIO, MEMORY_RESERVE_MIB};
use crate::table::host::Host;
use crate::table::reservation::Amounts;
use api::{Reply, Req};
use base::{Fault, Result};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

pub const CLASSES: [&str; 3] = ["DISK_GB", "MEMORY_MB", "VCPU"];

/// One class of one host.
pub struct Stock {
    pub class: &'static str,
    pub total: u64,
    pub reserved: u64,
    pub ratio: u64,
    pub used: u64,
}

impl Stock {
    /// What may be taken in all.
    pub fn capacity(&self) -> u64 {
        self.total.saturating_sub(self.reserved) * self.ratio
    }
    pub fn inventory(&self) -> Value {
        json!({
            "total": self.total, "reserved": self.reserved, "min_unit": 1, "max_unit": self.capacity().max(1),
            "step_size": 1, "allocation_ratio": self.ratio as f64,
        })
    }
}

/// What a host has; nothing before its first report.
pub fn stocks(h: &Host) -> Vec<Stock> {
    let stock = |class, total, reserved: u64, ratio, used| Stock {
        class,
        total,
        reserved: reserved.min(total),
        ratio,
        used,
    };
    let all = [
        stock("DISK_GB", h.disk_gib, 0, 1, h.disk_gib_used),
        stock("MEMORY_MB", h.memory_mib, MEMORY_RESERVE_MIB, 1, h.memory_mib_used),
        stock("VCPU", h.vcpus, 0, CPU_RATIO, h.vcpus_used),
    ];
    all.into_iter().filter(|s| s.total > 0).collect()
}

impl Amounts {
    fn named(&self) -> [(&'static str, u64); 3] {
        [("DISK_GB", self.disk_gib), ("MEMORY_MB", self.memory_mib), ("VCPU", self.vcpus)]
    }
    /// `{"VCPU": 1, …}` without zeros.
    pub fn shown(&self) -> Value {
        Value::Object(
            self.named()
                .into_iter()
                .filter(|(_, n)| *n > 0)
                .map(|(k, n)| (k.to_owned(), json!(n)))
                .collect::<Map<_, _>>(),
        )
    }
    pub fn add(&mut self, class: &str, n: u64) -> Result<()> {
        let field = match class {
            "DISK_GB" => &mut self.disk_gib,
            "MEMORY_MB" => &mut self.memory_mib,
            "VCPU" => &mut self.vcpus,
            _ => return Err(no_class(class)),
        };
        *field = field.saturating_add(n);
        Ok(())
    }
    pub fn sum(&mut self, other: &Amounts) {
        self.vcpus += other.vcpus;
        self.memory_mib += other.memory_mib;
        self.disk_gib += other.disk_gib;
    }
    pub fn fit(&self, stocks: &[Stock]) -> bool {
        self.named().iter().all(|(class, n)| {
            *n == 0 || stocks.iter().any(|s| s.class == *class && s.used + n <= s.capacity())
        })
    }
}

pub fn no_class(name: &str) -> Fault {
    Fault::bad_request(format!("Unknown resource class in input data: No such resource class {name}."))
}

/// `VCPU:1,MEMORY_MB:512`, as queries have it.
pub fn amounts(text: &str) -> Result<Amounts> {
    let bad = || {
        Fault::bad_request(format!(
            "Badly formed resources parameter. Expected resources query string parameter in form: \
             ?resources=VCPU:2,MEMORY_MB:1024. Got: {text}."
        ))
    };
    let mut seen = BTreeMap::new();
    let mut sum = Amounts::default();
    for part in text.split(',') {
        let (class, n) = part.split_once(':').ok_or_else(bad)?;
        let n: u64 = n.parse().ok().filter(|n| (1..=0x7fff_ffff).contains(n)).ok_or_else(bad)?;
        if seen.insert(class, n).is_some() {
            return Err(bad());
        }
        sum.add(class, n).map_err(|_| {
            Fault::bad_request(format!(
                "Invalid resource class in resources parameter: No such resource class {class}."
            ))
        })?;
    }
    Ok(sum)
}

fn view(name: &str) -> Value {
    json!({"name": name, "links": [{"rel": "self", "href": format!("/placement/resource_classes/{name}")}]})
}

pub async fn classes(_: Arc<Compute>, req: Req) -> Result<Reply> {
    Ok(answer(&req, &json!({"resource_classes": CLASSES.map(view)})))
}

pub async fn class(_: Arc<Compute>, req: Req) -> Result<Reply> {
    let name = req.text_param("name");
    if !CLASSES.contains(&name) {
        return Err(Fault::not_found(format!("No such resource class {name}.")));
    }
    Ok(answer(&req, &view(name)))
}
