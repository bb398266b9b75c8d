//! Links that break at the worst moment, and who hears whom. Needs a PostgreSQL in `HANOK_TEST_POSTGRES`.

use crate::db_tests::{fresh_url, url_of_schema};
use crate::{Db, Topic, params};
use base::{HostId, Kind, Result};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Duration;

/// What happens to the next COMMIT.
const PASS: u8 = 0;
/// It arrives, and its answer does not.
const NO_ANSWER: u8 = 1;
/// It does not arrive.
const LOST: u8 = 2;

/// A wire to the server of `url` that breaks as told. Answers the address of its near end.
fn wire(url: &str, next: Arc<AtomicU8>) -> String {
    let (head, rest) = url.split_once('@').unwrap();
    let (server, tail) = rest.split_once('/').unwrap();
    let (server, listener) = (server.to_owned(), TcpListener::bind("127.0.0.1:0").unwrap());
    let near = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(std::io::Result::ok) {
            let server = TcpStream::connect(&server).unwrap();
            let cut = Arc::new(AtomicBool::new(false));
            let (next, back) =
                (next.clone(), (server.try_clone().unwrap(), client.try_clone().unwrap(), cut.clone()));
            std::thread::spawn(move || answers(back.0, back.1, &back.2));
            std::thread::spawn(move || requests(client, server, &next, &cut));
        }
    });
    format!("{head}@{near}/{tail}&sslmode=disable")
}

fn requests(mut client: TcpStream, mut server: TcpStream, next: &AtomicU8, cut: &AtomicBool) {
    let mut buffer = [0; 16 << 10];
    while let Ok(n) = client.read(&mut buffer) {
        let commit = buffer[..n].windows(6).any(|w| w == b"COMMIT");
        let fate = if commit { next.swap(PASS, Ordering::SeqCst) } else { PASS };
        cut.store(fate != PASS, Ordering::SeqCst);
        if n == 0 || fate == LOST || server.write_all(&buffer[..n]).is_err() {
            break;
        }
        if fate == NO_ANSWER {
            // The server has taken it once it answers, which goes nowhere.
            while cut.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(5));
            }
            break;
        }
    }
    let _ = (client.shutdown(Shutdown::Both), server.shutdown(Shutdown::Both));
}

fn answers(mut server: TcpStream, mut client: TcpStream, cut: &AtomicBool) {
    let mut buffer = [0; 16 << 10];
    while let Ok(n) = server.read(&mut buffer) {
        if n == 0 || cut.swap(false, Ordering::SeqCst) || client.write_all(&buffer[..n]).is_err() {
            break;
        }
    }
    let _ = client.shutdown(Shutdown::Both);
}

async fn put(db: &Db, name: &'static str) -> Result<()> {
    db.write(move |tx| {
        tx.exec("INSERT INTO setting (name, value) VALUES ($1, '')", params![name])?;
        tx.hint(crate::Topic::Work);
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_lost_the_answer_to_a_commit_is_told_what_came_of_it() {
    let Ok(server) = std::env::var("HANOK_TEST_POSTGRES") else { return };
    let next = Arc::new(AtomicU8::new(PASS));
    let db = Db::postgres(&wire(&fresh_url(&server).await, next.clone())).await.unwrap();
    next.store(NO_ANSWER, Ordering::SeqCst);
    put(&db, "kept").await.unwrap();
    next.store(LOST, Ordering::SeqCst);
    let fault = put(&db, "lost").await.unwrap_err();
    assert_eq!(fault.kind, Kind::Unavailable);
    assert!(fault.message.contains("Nothing was changed"), "{fault}");
    put(&db, "after").await.unwrap();
    let names = db.read(|tx| tx.rows("SELECT name FROM setting ORDER BY name", &[], |r| r.get::<String>(0)));
    assert_eq!(names.await.unwrap(), ["after", "kept"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_is_told_in_its_own_words() {
    let Err(fault) = Db::postgres("postgres://hanok:secret@127.0.0.1:1/x").await else {
        panic!("it answered")
    };
    assert!(fault.message.contains("refused") && !fault.to_string().contains("secret"), "{fault}");
    let Err(fault) = Db::postgres("postgres://hanok:secret@[/x").await else { panic!("no address") };
    assert!(
        fault.message.contains("postgres://user:password@host") && !fault.to_string().contains("secret"),
        "{fault}"
    );
}

/// Two processes of a region, both of which hear.
async fn two_at(url: &str) -> [Db; 2] {
    let pair = [Db::postgres(url).await.unwrap(), Db::postgres(url).await.unwrap()];
    for db in &pair {
        let heard = async {
            while !db.hearing().hears() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), heard).await.expect("it hears");
    }
    pair
}

/// What comes in order: hints are delivered in the order of their commits, whatever their channel.
#[tokio::test(flavor = "multi_thread")]
async fn regions_of_one_database_hear_their_own_processes_only() {
    let Ok(server) = std::env::var("HANOK_TEST_POSTGRES") else { return };
    // The second schema's name is as long as one may be.
    let long = format!("t{}{}", uuid::Uuid::new_v4().simple(), "o".repeat(30));
    let [one, other] = [fresh_url(&server).await, url_of_schema(&server, long).await];
    let (one, other) = (two_at(&one).await, two_at(&other).await);
    let say = |db: &Db, id: HostId| {
        let db = db.clone();
        let hint = move |tx: &crate::Tx<'_>| {
            tx.hint(Topic::Host(id));
            Ok(())
        };
        async move { db.write(hint).await.unwrap() }
    };
    for (ours, theirs) in [(&one, &other), (&other, &one)] {
        let (foreign, own) = (HostId::new(), HostId::new());
        let mut topics = ours[1].topics();
        say(&theirs[0], foreign).await;
        say(&ours[0], own).await;
        let heard = async {
            loop {
                match topics.recv().await.unwrap() {
                    Topic::Host(id) if id == own => return,
                    Topic::Host(id) => assert_ne!(id, foreign, "another region's"),
                    _ => {}
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(60), heard).await.expect("its own is heard");
    }
}
