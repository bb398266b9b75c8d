//! A data centre of bare machines: simulated ones, all commissioned and then deployed side by side, and how long a list
//! of them takes.

use crate::CONCURRENCY;
use crate::load::{Load, Target};
use crate::product::Product;
use crate::report::Report;
use base::{Fault, Result};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

const MACHINES: usize = 1000;
const PATIENCE: Duration = Duration::from_secs(600);

pub async fn run(hanok: &str, report: &mut Report) -> Result<()> {
    let role = ["dev", "--hosts", "0", "--machines", &MACHINES.to_string()];
    let product = Product::start_with(hanok, &role).await?;
    let target = product.log_in().await?;
    let name = |what: &str| format!("{MACHINES} machines {what}");
    let begin = Instant::now();
    let all = until(&target, |all| all.iter().all(|m| m["measured_at"].is_string())).await?;
    report.figure(&name("found and measured"), begin.elapsed().as_secs_f64(), "s", None);
    let begin = Instant::now();
    every(&target, &all, "commission", json!({})).await?;
    until(&target, |all| all.iter().all(|m| m["status"] == "ready")).await?;
    report.figure(&name("commissioned"), begin.elapsed().as_secs_f64(), "s", None);
    let image = target.call("GET", "/image/v2/images?name=mini", None).await?["images"][0]["id"].clone();
    let begin = Instant::now();
    every(&target, &all, "allocate", json!({})).await?;
    every(&target, &all, "deploy", json!({"image_id": image})).await?;
    until(&target, |all| all.iter().all(|m| m["status"] == "deployed")).await?;
    report.figure(&name("deployed"), begin.elapsed().as_secs_f64(), "s", None);
    let list = Load::get("/hanok/v1/machines?limit=1000", &target);
    report.load(&name("listed"), list.run(&target, 1, Duration::from_secs(5)).await?, None);
    product.stop().await;
    Ok(())
}

/// Waits until all machines are as they should be.
async fn until(target: &Target, done: impl Fn(&[Value]) -> bool) -> Result<Vec<Value>> {
    let begin = Instant::now();
    loop {
        let all = target.call("GET", "/hanok/v1/machines?limit=1000", None).await?;
        let all = all["machines"].as_array().cloned().unwrap_or_default();
        if all.len() == MACHINES && done(&all) {
            return Ok(all);
        }
        if begin.elapsed() > PATIENCE {
            let mut by_status = std::collections::BTreeMap::new();
            all.iter().for_each(|m| *by_status.entry(m["status"].to_string()).or_insert(0) += 1);
            return Err(Fault::internal(format!("machines are {by_status:?}")));
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Asks the same of every machine.
async fn every(target: &Target, all: &[Value], action: &str, body: Value) -> Result<()> {
    let (few, mut asked) = (Arc::new(Semaphore::new(CONCURRENCY)), JoinSet::new());
    for m in all {
        let path = format!("/hanok/v1/machines/{}/{action}", m["id"].as_str().unwrap_or_default());
        let (target, body, few) = (target.clone(), body.clone(), few.clone());
        asked.spawn(async move {
            let _turn = few.acquire().await;
            target.call("POST", &path, Some(body)).await
        });
    }
    while let Some(answer) = asked.join_next().await {
        answer.map_err(Fault::internal)??;
    }
    Ok(())
}
