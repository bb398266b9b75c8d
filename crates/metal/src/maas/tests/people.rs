//! Users of Identity through this door, what was found out about machines, and who may see what switches them.

use super::{World, worlds};
use crate::act::NewMachine;
use crate::model::Status;
use api::Rule;
use base::doc::live::{Test, TestResult};
use base::doc::rack::Bmc;
use serde_json::json;

#[tokio::test]
async fn users_are_made_and_deleted() {
    for w in worlds().await {
        let form = "username=ann&email=ann%40example.com&password=a+good+secret&is_superuser=0";
        w.post(&w.demo, "users/", form).await.of(403);
        let made = w.post(&w.admin, "users/", form).await.of(200);
        assert_eq!(
            (&made["username"], &made["is_superuser"], &made["email"]),
            (&json!("ann"), &json!(false), &json!("ann@example.com"))
        );
        assert!(w.post(&w.admin, "users/", form).await.of(400)["username"][0].is_string());
        w.post(&w.admin, "users/", "username=x&is_superuser=0").await.of(400);
        w.post(&w.admin, "users/", "username=a/b&password=x&is_superuser=0").await.of(400);
        // She can log in and work, in a project of her own.
        let form = "username=ann&password=a+good+secret";
        let key = w.post("", "/MAAS/accounts/authenticate/", form).await.of(200);
        let part = |name: &str| key[name].as_str().unwrap().to_owned();
        let key = format!("{}:{}:{}", part("consumer_key"), part("token_key"), part("token_secret"));
        let id = w.machine("one", 1, Status::Ready).await;
        assert_eq!(w.post(&key, "machines/?op=allocate", "").await.of(200)["owner"], "ann");
        w.get(&w.demo, &format!("machines/{id}/")).await.of(404);
        let no = w.call(&w.admin, "DELETE", "users/ann/", "").await;
        assert!(no.status == 400 && no.text.contains("1 machines"), "{}", no.text);
        w.status(&id, Status::Ready).await;
        assert_eq!(w.call(&w.admin, "DELETE", "users/ann/", "").await.status, 204);
        w.get(&key, "users/?op=whoami").await.of(401);
        w.call(&w.admin, "DELETE", "users/ann/", "").await.of(404);
        assert_eq!(w.call(&w.admin, "DELETE", "users/admin/", "").await.status, 400);

        let form = "username=root&password=a+good+secret&is_superuser=1";
        assert_eq!(w.post(&w.admin, "users/", form).await.of(200)["is_superuser"], true);
    }
}

#[tokio::test]
async fn results_of_tests_are_read() {
    let w = World::on_sqlite().await;
    let id = w.machine("one", 1, Status::Ready).await;
    let wanted = id.clone();
    w.db.write(move |tx| {
        let m = crate::table::machine::by_any(tx, &wanted)?.unwrap();
        let result =
            |test, part: &str, passed| TestResult { test, part: part.into(), passed, output: "42".into() };
        crate::table::test::keep(tx, m.id, 3, &[result(Test::Cpu, "", true)])?;
        let both = [result(Test::DiskHealth, "sda", true), result(Test::DiskHealth, "sdb", false)];
        crate::table::test::keep(tx, m.id, 5, &both)
    })
    .await
    .unwrap();
    let all = w.get(&w.demo, &format!("nodes/{id}/results/")).await.of(200);
    let said: Vec<_> = all
        .as_array()
        .unwrap()
        .iter()
        .map(|s| (s["id"].as_i64().unwrap(), s["status_name"].clone()))
        .collect();
    assert_eq!(said, [(5, json!("Failed")), (3, json!("Passed")), (0, json!("Passed"))]);
    let one = w
        .get(
            &w.demo,
            &format!("nodes/{id}/results/current-testing/?include_output=1&filters=disk_health.sdb"),
        )
        .await
        .of(200);
    assert_eq!(one["results"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&one["results"][0]["output"], &one["results"][0]["exit_status"]),
        (&json!("NDI="), &json!(1))
    );
    w.get(&w.demo, &format!("nodes/{id}/results/99/")).await.of(404);
    assert_eq!(
        w.get(&w.demo, &format!("nodes/{id}/results/?type=commissioning"))
            .await
            .of(200)
            .as_array()
            .unwrap()
            .len(),
        1
    );
    assert_eq!(w.get(&w.demo, "scripts/?type=testing").await.of(200).as_array().unwrap().len(), 5);
    assert_eq!(w.get(&w.demo, "scripts/cpu").await.of(200)["hardware_type_name"], "CPU");
    assert_eq!(w.get(&w.demo, "notifications/").await.of(200), json!([]));
    // A rack that was never heard of is silent.
    w.db.write(|tx| crate::table::rack::admit(tx, base::RackId::new(), "r1", "x")).await.unwrap();
    assert!(
        w.get(&w.admin, "notifications/").await.of(200)[0]["message"]
            .as_str()
            .unwrap()
            .contains("r1 is silent")
    );
    assert_eq!(w.get(&w.demo, "notifications/").await.of(200), json!([]));
}

/// No address that somebody who is no administrator may read tells what a BMC is reached by.
#[tokio::test]
async fn bmc_passwords_are_for_administrators() {
    let w = World::on_sqlite().await;
    let metal = w.metal.clone();
    let id = w.db.write(move |tx| {
        let bmc = Bmc::Ipmi {
            address: "bmc-of-one".into(),
            port: 0,
            user: "operator-of-bmc".into(),
            password: "calvin-the-secret".into(),
            cipher: None,
        };
        let new = NewMachine {
            name: "one".into(),
            macs: vec!["52:54:00:00:00:01".into()],
            bmc: Some(bmc),
            ..NewMachine::default()
        };
        let m = metal.create(tx, &new)?;
        crate::table::machine::set_status(tx, m.id, Status::Ready, "")?;
        Ok(m.system_id)
    });
    let id = id.await.unwrap();
    // Also when it is the caller's own.
    for own in [false, true] {
        if own {
            w.post(&w.demo, "machines/?op=allocate", "").await.of(200);
        }
        let mut read = 0;
        for listed in super::super::list().into_iter().filter(|l| l.method == http::Method::GET) {
            let path = listed.path.replace("{system_id}", &id).replace("{id}", "1").replace(['{', '}'], "");
            let answer = w.get(&w.demo, &path).await;
            for secret in ["calvin-the-secret", "operator-of-bmc", "bmc-of-one"] {
                assert!(!answer.text.contains(secret), "{path}: {}", answer.text);
            }
            assert!(listed.rule != Rule::ADMIN || answer.status == 403, "{path}: {}", answer.status);
            read += usize::from(answer.status == 200);
        }
        assert!(read > 40, "only {read} were read");
    }
    let shown = w.get(&w.admin, &format!("machines/{id}/?op=power_parameters")).await;
    assert_eq!(shown.of(200)["power_pass"], "calvin-the-secret");
    let all = w.get(&w.admin, "machines/").await;
    assert!(!all.text.contains("calvin"), "nor in lists, to anybody");
}
