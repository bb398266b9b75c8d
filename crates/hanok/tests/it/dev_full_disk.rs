//! A disk that fills while an image comes in.

use crate::api::Api;
use crate::wait::until;
use crate::world::World;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A small file system over a directory, for as long as it lives.
struct Small(PathBuf);

impl Small {
    fn over(dir: &Path, mebibytes: u32) -> Small {
        let mut mount = Command::new("mount");
        let mount =
            mount.args(["-t", "tmpfs", "-o", &format!("size={mebibytes}m,mode=700"), "hanok-test"]).arg(dir);
        assert!(mount.status().unwrap().success(), "mount; run it as root");
        Small(dir.to_owned())
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn an_upload_that_fills_the_disk() {
    let mut w = World::dev(1);
    w.interrupt();
    let images = w.data().join("images");
    // What the first start stored moves aside with the old directory: only new content matters here.
    let small = Small::over(&images, 16);
    w.start();
    let demo = w.api("demo");
    let image = |name: &str| {
        let body = json!({"name": name, "disk_format": "raw", "container_format": "bare"});
        demo.post("/image/v2/images", &body).expect(201)["id"].as_str().unwrap().to_owned()
    };
    let big = image("big");
    let answer = upload(&demo, &big, &vec![7; 24 << 20]).expect("an answer, not a cut connection");
    assert!([413, 507].contains(&answer.status), "{} {}", answer.status, answer.text());
    assert!(answer.text().contains("space") || answer.text().contains("full"), "{}", answer.text());
    until(30, "the image waits for content again", || {
        (demo.get(&format!("/image/v2/images/{big}")).expect(200)["status"] == "queued").then_some(())
    });
    // The room is free again, and what fits is taken.
    let fits = image("fits");
    let answer = upload(&demo, &fits, &vec![7; 8 << 20]).unwrap();
    assert_eq!(answer.status, 204, "{}", answer.text());
    assert_eq!(demo.get(&format!("/image/v2/images/{fits}/file")).body.len(), 8 << 20);
    drop(small);
    w.finish();
}

fn upload(demo: &Api, id: &str, content: &[u8]) -> std::io::Result<crate::http::Answer> {
    let kind = [("Content-Type", "application/octet-stream")];
    demo.raw("PUT", &format!("/image/v2/images/{id}/file"), &kind, content)
}
