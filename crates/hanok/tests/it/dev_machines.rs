//! Many machines at once over simulated racks: found, measured, handed over, imaged, taken back.

use crate::api::Api;
use crate::wait::until_true;
use crate::world::World;
use serde_json::{Value, json};

const MACHINES: u64 = 30;

/// How many machines are in a status.
fn in_status(api: &Api, status: &str) -> u64 {
    let count = api.get("/hanok/v1/machines/count").expect(200);
    count["count"]["by_status"][status].as_u64().unwrap_or(0)
}

fn all_in(api: &Api, status: &str) {
    until_true(180, &format!("all machines are {status}"), || in_status(api, status) == MACHINES);
}

fn every(api: &Api) -> Vec<Value> {
    api.get("/hanok/v1/machines?limit=1000").expect(200)["machines"].as_array().unwrap().clone()
}

fn ask_all(api: &Api, action: &str, body: &Value) {
    for m in every(api) {
        let path = format!("/hanok/v1/machines/{}/{action}", m["id"].as_str().unwrap());
        api.post(&path, body).expect(202);
    }
}

/// What the command says to those who look after the machines.
fn operator(w: &World, arguments: &[&str]) -> std::process::Output {
    w.hanok_command().args(arguments).env("OS_CLOUD", "hanok").output().unwrap()
}

#[test]
fn machines_are_found_commissioned_deployed_and_released_side_by_side() {
    let mut w = World::dev_machines(MACHINES);
    w.start();
    let api = w.api("hanok");
    until_true(180, "all are found and measured", || {
        let all = every(&api);
        all.len() as u64 == MACHINES && all.iter().all(|m| m["cores"] == 8)
    });
    ask_all(&api, "commission", &json!({"tests": ["cpu", "memory"]}));
    all_in(&api, "ready");
    let list = operator(&w, &["machine", "list", "status=ready", "tag=ssd"]);
    assert_eq!(String::from_utf8_lossy(&list.stdout).lines().count() as u64, MACHINES + 1);

    ask_all(&api, "allocate", &json!({}));
    let images = api.get("/image/v2/images?name=mini").expect(200);
    ask_all(&api, "deploy", &json!({"image_id": images["images"][0]["id"], "wait_for_system": true}));
    all_in(&api, "deployed");
    let one = every(&api)[0]["name"].as_str().unwrap().to_owned();
    let shown = operator(&w, &["machine", "show", &one]);
    assert!(String::from_utf8_lossy(&shown.stdout).contains("deployed"));

    ask_all(&api, "release", &json!({"erase": "verified"}));
    all_in(&api, "ready");
    let wiped = api.get(&format!("/hanok/v1/machines/{one}/erasures")).expect(200);
    assert_eq!(wiped["erasures"][0]["clean"], true);
    w.finish();
}
