//! Numbers, printed for people: `cargo nextest run -p hanok-compute --release bench --run-ignored only
//! --no-capture`. No assertion about time.

use super::world::World;
use base::ProjectId;

use std::sync::Arc;
use std::time::Instant;
use store::quota;
use store::work::Engine;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "prints numbers"]
async fn bench_loop_and_list() {
    const N: usize = 200;
    let w = Arc::new(World::new().await);
    w.db.write(|tx| {
        ["instances", "cores", "ram", "port"]
            .iter()
            .try_for_each(|r| quota::set(tx, &ProjectId::from("a"), r, Some(-1)))?;
        // Room for all of them on one network.
        tx.exec(
            "UPDATE subnet SET cidr = '10.20.0.0/16', pools = '[[\"10.20.1.1\", \"10.20.255.254\"]]' WHERE cidr = '10.20.30.0/24'",
            &[],
        )
    })
    .await
    .unwrap();
    for i in 0..20 {
        let mut host = w.host(&format!("h{i}")).await;
        host.facts.memory_mib = 1 << 20;
        host.facts.vcpus = 1000;
        host.facts.disk_bytes = 1 << 44;
        host.turn(&w).await;
        tokio::spawn(host.live(w.clone()));
    }
    tokio::spawn(Engine::builder(w.db.clone()).with(w.compute.life()).build().run());
    let start = Instant::now();
    let mut tasks = Vec::new();
    for worker in 0..8 {
        let w = w.clone();
        tasks.push(tokio::spawn(async move {
            let mut ids = Vec::new();
            for i in 0..N / 8 {
                ids.push(w.create(&format!("s{worker}-{i}")).await);
            }
            ids
        }));
    }
    let mut ids = Vec::new();
    for t in tasks {
        ids.extend(t.await.unwrap());
    }
    println!("{N} servers accepted in {:?}", start.elapsed());
    for id in &ids {
        while !w.calm(*id, "ACTIVE").await {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }
    let took = start.elapsed();
    println!("{N} servers ACTIVE in {took:?}: {:.0}/s", N as f64 / took.as_secs_f64());
    for _ in 0..3 {
        let start = Instant::now();
        let list = w.get("/servers/detail?limit=1000").await;
        println!("detail of {} servers: {:?}", list["servers"].as_array().unwrap().len(), start.elapsed());
    }
    let start = Instant::now();
    for id in &ids {
        w.delete(*id).await.expect(204);
    }
    for id in &ids {
        while !w.calm(*id, "GONE").await {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }
    println!("{N} servers gone in {:?}", start.elapsed());
}
