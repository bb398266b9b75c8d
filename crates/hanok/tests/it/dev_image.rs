//! Imports and metadata definitions with the unmodified client, and an import whose region is killed.

use crate::api::Api;
use crate::wait::until_true;
use crate::world::World;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};

/// The disk that the web server has.
static DISK: [u8; 100_000] = [7; 100_000];

/// A web server on loopback that gives one answer per connection: the first `halves` times it stops in the
/// middle and says so. Answers its port.
fn web(halves: usize) -> (u16, Receiver<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (tell, stopped) = channel();
    std::thread::spawn(move || {
        for (i, stream) in listener.incoming().enumerate() {
            let Ok(mut stream) = stream else { return };
            let mut asked = [0; 4096];
            let _ = stream.read(&mut asked);
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                DISK.len()
            );
            let _ = stream.write_all(&DISK[..DISK.len() / 2]);
            if i < halves {
                // Kept open by whoever takes it.
                let _ = tell.send(stream);
                continue;
            }
            let _ = stream.write_all(&DISK[DISK.len() / 2..]);
        }
    });
    (port, stopped)
}

fn world(port: u16) -> World {
    World::dev_with(1, &format!("[image]\ndownload_hosts = [\"127.0.0.1\"]\ndownload_ports = [{port}]"))
}

/// Makes an image without content; answers its id.
fn queued(api: &Api, name: &str) -> String {
    let body = json!({"name": name, "disk_format": "raw", "container_format": "bare"});
    api.post("/image/v2/images", &body).expect(201)["id"].as_str().unwrap().to_owned()
}

fn status(w: &World, name: &str) -> Value {
    w.osc(&format!("image show {name}"))["status"].clone()
}

#[test]
fn the_client_stages_imports_and_describes() {
    let (port, _) = web(0);
    let w = world(port);
    // Without a terminal the client would upload what comes from standard input.
    let make = |name: &str| queued(&w.api("demo"), name);
    make("web");
    w.osc(&format!("image import --method web-download --uri http://127.0.0.1:{port}/disk web"));
    until_true(60, "the download is active", || status(&w, "web") == "active");
    let saved = w.file("saved");
    w.osc_do(&format!("image save --file {} web", saved.display()));
    assert_eq!(std::fs::read(saved).unwrap(), DISK);

    let file = w.file("disk");
    std::fs::write(&file, DISK).unwrap();
    make("staged");
    w.osc_do(&format!("image stage --file {} staged", file.display()));
    assert_eq!(status(&w, "staged"), "uploading");
    w.osc("image import --method glance-direct staged");
    until_true(60, "the staged one is active", || status(&w, "staged") == "active");
    let tasks = w.osc_admin("image task list");
    assert_eq!(tasks.as_array().unwrap().len(), 2);
    let shown = w.osc_admin(&format!("image task show {}", tasks[0]["ID"].as_str().unwrap()));
    assert_eq!(shown["status"], "success");
    assert!(w.osc_refused("image task list").contains("403"));
    assert!(w.osc("image import info").to_string().contains("web-download"));

    let about = w.osc("image metadef namespace show OS::Compute::Quota");
    assert_eq!(about["visibility"], "public");
    w.osc_admin("image metadef namespace create --public --display-name Lab Lab");
    w.osc_admin("image metadef resource type association create Lab OS::Glance::Image");
    w.osc_admin("image metadef property create --name colour --title Colour --type string --schema {} Lab");
    assert_eq!(w.osc("image metadef property show Lab colour")["title"], "Colour");
    w.osc_admin("image metadef object create --namespace Lab thing");
    assert_eq!(w.osc("image metadef object list Lab")[0]["name"], "thing");
    assert!(!w.osc("image metadef resource type list").as_array().unwrap().is_empty());
    w.osc_do_as("hanok", "image metadef property delete Lab colour");
    w.osc_do_as("hanok", "image metadef object delete Lab thing");
    w.osc_do_as("hanok", "image metadef namespace delete Lab");
    w.finish();
}

/// How many files there are, at any depth.
fn files(dir: &std::path::Path) -> usize {
    let entries = std::fs::read_dir(dir).unwrap().flatten();
    entries.map(|e| if e.path().is_dir() { files(&e.path()) } else { 1 }).sum()
}

#[test]
fn an_import_survives_the_death_of_the_region() {
    let (port, stopped) = web(1);
    let mut w = world(port);
    let api = w.api("demo");
    let id = queued(&api, "web");
    let uri = format!("http://127.0.0.1:{port}/disk");
    let body = json!({"method": {"name": "web-download", "uri": uri}});
    api.post(&format!("/image/v2/images/{id}/import"), &body).expect(202);
    let half = stopped.recv().unwrap();
    let show = || api.get(&format!("/image/v2/images/{id}")).expect(200);
    assert_eq!(show()["status"], "importing");
    w.kill();
    drop(half);
    w.start();
    until_true(60, "the import goes on by itself", || show()["status"] == "active");
    assert_eq!(show()["size"], DISK.len());
    // What is on its way has a directory for each process.
    let left = |dir: &str| files(&w.data().join("images").join(dir));
    until_true(60, "what was staged is gone", || left("staged") + left("incoming") == 0);
    w.finish();
}
