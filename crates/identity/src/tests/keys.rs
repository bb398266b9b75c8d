//! Token keys: rotation, several processes, a restart, the master key; and tokens that are none.

use super::{DEMO, World, call, password, router, worlds};
use crate::{Identity, TOKEN_LIFE, keys};
use api::Authority;
use base::{Kind, Micros};
use proptest::prelude::*;
use serde_json::json;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;
use store::params;

/// Makes the keys that are there older, and forgets nothing else.
async fn age(w: &World, by: Duration) {
    let by = i64::try_from(by.as_micros()).unwrap();
    let sql = "UPDATE token_key SET created_at = created_at - $1";
    w.db.write(move |tx| tx.exec(sql, params![by])).await.unwrap();
}

async fn keys(w: &World) -> i64 {
    w.db.read(|tx| tx.one("SELECT COUNT(*) FROM token_key", &[], |r| r.get(0))).await.unwrap()
}

#[tokio::test]
async fn a_new_key_leaves_old_tokens_good() {
    for w in worlds().await {
        let old = w.demo().await;
        w.identity.rotate_keys().await.unwrap();
        assert_eq!(keys(&w).await, 2);
        assert!(w.good(&old).await);
        // Until it has rested, the new key does not seal: another process may not know it yet.
        let sibling = w.sibling().await;
        assert!(sibling.verify(&w.demo().await).await.is_ok());
        age(&w, Duration::from_secs(60)).await;
        let process = w.sibling().await;
        let answer = call(
            &router(&process),
            "POST",
            "/v3/auth/tokens",
            "",
            json!({"auth": {"identity": password("demo", DEMO)}}),
        )
        .await;
        let new = answer.header("x-subject-token").to_owned();
        assert!(w.good(&new).await);
        // With only the newer key it is the newer token that is good.
        let sql = "DELETE FROM token_key WHERE created_at < (SELECT MAX(created_at) FROM token_key)";
        w.db.write(|tx| tx.exec(sql, &[])).await.unwrap();
        let process = w.sibling().await;
        assert!(process.verify(&new).await.is_ok());
        assert_eq!(process.verify(&old).await.unwrap_err().kind, Kind::Unauthorized);
    }
}

#[tokio::test]
async fn upkeep_makes_a_key_weekly_and_drops_what_seals_nothing_valid() {
    for w in worlds().await {
        age(&w, Duration::from_secs(8 * 24 * 3600)).await;
        w.sibling().await;
        assert_eq!(keys(&w).await, 2, "a new one beside the old one, which may have sealed a minute ago");
        w.sibling().await;
        assert_eq!(keys(&w).await, 2, "nothing to do");
        age(&w, TOKEN_LIFE + Duration::from_secs(25 * 3600)).await;
        w.sibling().await;
        assert_eq!(keys(&w).await, 1, "what the old one has sealed has expired");
    }
}

#[tokio::test]
async fn the_last_key_is_never_dropped() {
    let w = World::on_sqlite().await;
    w.db.write(|tx| keys::purge(tx, Micros::now().plus(Duration::from_secs(1 << 30)))).await.unwrap();
    assert_eq!(keys(&w).await, 1);
}

#[tokio::test]
async fn a_key_of_another_process_is_fetched_when_it_is_met() {
    for w in worlds().await {
        let sibling = w.sibling().await;
        // A first key of another process, as when two start at once: it seals without rest.
        w.db.write(|tx| tx.exec("DELETE FROM token_key", &[])).await.unwrap();
        let other = w.sibling().await;
        let answer = call(
            &router(&other),
            "POST",
            "/v3/auth/tokens",
            "",
            json!({"auth": {"identity": password("demo", DEMO)}}),
        )
        .await;
        let token = answer.header("x-subject-token").to_owned();
        // At most one reading a second, so this is a matter of waiting for the condition.
        let mut tries = 0;
        while sibling.verify(&token).await.is_err() {
            tries += 1;
            assert!(tries < 1000, "the key was never fetched");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

#[tokio::test]
async fn tokens_outlive_a_restart_and_need_the_master_key() {
    for w in worlds().await {
        let token = w.demo().await;
        let file = w.dir.path().join("master-key");
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(w.sibling().await.verify(&token).await.is_ok());
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        w.sibling().await;
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let other =
            Identity::open(w.db.clone(), &w.dir.path().join("another"), crate::Rules::default()).await;
        assert_eq!(other.err().unwrap().kind, Kind::Unavailable);
        let broken = w.dir.path().join("broken");
        std::fs::write(&broken, "not a key").unwrap();
        let fault = Identity::open(w.db.clone(), &broken, crate::Rules::default()).await.err().unwrap();
        assert!(fault.message.contains("does not hold a key"), "{fault}");
        let secrets = w.db.read(|tx| tx.rows("SELECT secret FROM token_key", &[], |r| r.get::<String>(0)));
        let master = std::fs::read_to_string(&file).unwrap();
        for secret in secrets.await.unwrap() {
            assert!(fernet::Fernet::new(&secret).is_none(), "the key lies open in the database");
            assert!(fernet::Fernet::new(master.trim()).unwrap().decrypt(&secret).is_ok());
        }
    }
}

#[tokio::test]
async fn bootstrap_happens_once() {
    for w in worlds().await {
        assert!(w.seed.first);
        let admin = w.admin().await;
        let demo = w.id_of(&admin, "users", "demo").await;
        w.call("DELETE", &format!("/v3/users/{demo}"), &admin, ()).await.of(204);
        let again = w.sibling().await.bootstrap("another", "another").await.unwrap();
        assert_eq!((again.first, &again.admin, &again.demo), (false, &w.seed.admin, &w.seed.demo));
        assert!(w.good(&w.admin().await).await, "the password is the first one");
        let users = w.call("GET", "/v3/users", &admin, ()).await.of(200);
        assert_eq!(users["users"].as_array().unwrap().len(), 1, "who was deleted does not come back");
        let services = w.call("GET", "/v3/services", &admin, ()).await.of(200);
        assert_eq!(services["services"].as_array().unwrap().len(), crate::bootstrap::SERVICES.len());
    }
}

#[tokio::test]
async fn an_expired_token_is_bad() {
    let w = World::on_sqlite().await;
    let good = w.identity.session(&w.demo().await).await.unwrap();
    let mut token = good.token.clone();
    token.expires_at = Micros::now();
    let sealed = w.identity.keys.seal(&token.to_bytes().unwrap()).unwrap();
    assert_eq!(w.identity.session(&sealed).await.err().unwrap().kind, Kind::Unauthorized);
    token.expires_at = Micros::now().plus(Duration::from_secs(60));
    let sealed = w.identity.keys.seal(&token.to_bytes().unwrap()).unwrap();
    assert!(w.identity.session(&sealed).await.is_ok());
}

/// As of a login that ran while the password was being changed: newer than the revocation, and yet made
/// with the old password.
#[tokio::test]
async fn a_token_is_good_only_with_the_password_it_was_made_with() {
    for w in worlds().await {
        let admin = w.admin().await;
        let mut token = w.identity.session(&w.demo().await).await.unwrap().token.clone();
        let path = format!("/v3/users/{}", token.user);
        w.call("PATCH", &path, &admin, json!({"user": {"password": "another"}})).await.of(200);
        token.issued_at = Micros::now().plus(Duration::from_secs(1));
        let sealed = w.identity.keys.seal(&token.to_bytes().unwrap()).unwrap();
        assert_eq!(w.identity.session(&sealed).await.err().unwrap().kind, Kind::Unauthorized);
        let again = w.token(json!({"identity": password("demo", "another")})).await;
        let derived =
            w.token(json!({"identity": super::by_token(&again), "scope": super::project("demo")})).await;
        assert!(w.good(&again).await && w.good(&derived).await);
    }
}

/// Whatever is sent as a token is refused, and nothing falls over.
#[test]
fn nonsense_is_no_token() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let w = runtime.block_on(World::on_sqlite());
    let good = runtime.block_on(w.demo());
    let refused = |token: &str| {
        let outcome = runtime.block_on(w.identity.session(token));
        outcome.err().map(|f| f.kind) == Some(Kind::Unauthorized)
    };
    let mut runner = proptest::test_runner::TestRunner::default();
    let any_text = |token: String| {
        prop_assert!(refused(&token));
        Ok(())
    };
    runner.run(&any::<String>(), any_text).unwrap();
    let other_character = |(at, c): (usize, char)| {
        let mut token = good.clone();
        token.replace_range(at..=at, &c.to_string());
        // Padding bits of base64 do not count.
        prop_assert!(token == good || refused(&token) || at + 4 >= good.len(), "{}", token);
        Ok(())
    };
    runner.run(&(0..good.len(), proptest::char::range('!', '~')), other_character).unwrap();
    let cut_off = |at: usize| {
        prop_assert!(refused(&good[..at]) || at + 3 >= good.len());
        Ok(())
    };
    runner.run(&(0..good.len()), cut_off).unwrap();
    // Sealed by us and yet nonsense: what another release may have written.
    let other_content = |bytes: Vec<u8>| {
        prop_assert!(refused(&w.identity.keys.seal(&bytes).unwrap()));
        Ok(())
    };
    runner.run(&prop::collection::vec(any::<u8>(), 0..200), other_content).unwrap();
    assert!(refused(&"x".repeat(1 << 20)));
}
