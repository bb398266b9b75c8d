//! The loop over tasks: one at a time; a newer one takes the place of the one before.

use crate::desk::Desk;
use crate::lldp::Neighbours;
use crate::options::Options;
use crate::peers::Holdings;
use crate::talk::Talk;
use crate::{console, erase, inventory, trial, write};
use base::doc::live::{Task, Work};
use base::{Fault, Kind, Result};
use std::time::Duration;
use tokio::task::JoinHandle;

/// A task that looks whether it is to stop has stopped by then.
const STOPS: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub enum Ending {
    Reboot,
    PowerOff,
    /// The session is not known any more: hello is to be said again.
    Unknown,
}

/// What a task needs.
#[derive(Clone)]
struct Bench {
    options: Options,
    talk: Talk,
    neighbours: Neighbours,
    holdings: Holdings,
}

pub async fn tasks(options: &Options, talk: &Talk, neighbours: &Neighbours, holdings: &Holdings) -> Ending {
    let bench = Bench {
        options: options.clone(),
        talk: talk.clone(),
        neighbours: neighbours.clone(),
        holdings: holdings.clone(),
    };
    let mut since = 0;
    let mut now: Option<(Desk, JoinHandle<Option<Ending>>)> = None;
    let mut once = console::Once::default();
    loop {
        let next = tokio::select! {
            next = talk.task(since) => next,
            ending = ended(&mut now) => match ending {
                Some(ending) => return ending,
                None => { now = None; continue; }
            },
        };
        match next {
            Ok(None) => once.say("waiting for a task"),
            Ok(Some(mut task)) => {
                if let Some((desk, handle)) = now.take() {
                    desk.stop();
                    // It stops at its next look; a disk is never written by two tasks.
                    task = once_ended(talk, task, handle).await;
                }
                since = task.number;
                let desk = Desk::new(task.number);
                now = Some((desk.clone(), tokio::spawn(one(bench.clone(), task, desk))));
            }
            Err(fault) if fault.kind == Kind::Unauthorized => {
                console::say(&format!("the session has ended: {}", fault.message));
                if let Some((desk, handle)) = now.take() {
                    desk.stop();
                    let _ = handle.await;
                }
                return Ending::Unknown;
            }
            Err(fault) => {
                once.say(&format!("asking for a task: {}; trying again", fault.message));
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

/// Waits for a task that was told to stop, and answers the newest that is to take its place. A drive's own erase takes
/// hours and cannot be stopped: the rack hears of us meanwhile, so that nobody takes the machine for dead and its power away
/// in the middle of that.
async fn once_ended(talk: &Talk, mut next: Task, mut before: JoinHandle<Option<Ending>>) -> Task {
    if tokio::time::timeout(STOPS, &mut before).await.is_ok() {
        return next;
    }
    let mut told = 0;
    loop {
        let asking = async {
            // Of an order to leave nothing is said before it is obeyed.
            if told != next.number && !matches!(next.work, Work::Reboot | Work::PowerOff) {
                let desk = Desk::new(next.number);
                desk.say("The task before is waited for: it cannot be stopped at once.");
                talk.report(&desk.report()).await?;
                told = next.number;
            }
            talk.task(next.number).await
        };
        let answer = tokio::select! {
            _ = &mut before => return next,
            answer = asking => answer,
        };
        match answer {
            Ok(Some(newer)) => next = newer,
            Ok(None) => {}
            // Without a session, too: what the drive does goes on.
            Err(_) => tokio::time::sleep(Duration::from_secs(1)).await,
        }
    }
}

async fn ended(now: &mut Option<(Desk, JoinHandle<Option<Ending>>)>) -> Option<Ending> {
    match now {
        Some((_, handle)) => handle.await.unwrap_or_default(),
        None => std::future::pending().await,
    }
}

/// One task from its first report to its last.
async fn one(bench: Bench, task: Task, desk: Desk) -> Option<Ending> {
    let work = task.work.clone();
    console::say(&format!("task {}: {}", task.number, name(&work)));
    let telling = {
        let (desk, talk) = (desk.clone(), bench.talk.clone());
        tokio::spawn(async move { desk.keep_telling(&talk).await })
    };
    let outcome = carry_out(&bench, task.work, &desk).await;
    telling.abort();
    let heard = desk.end(&bench.talk, outcome).await;
    match work {
        Work::Reboot if heard => Some(Ending::Reboot),
        Work::PowerOff if heard => Some(Ending::PowerOff),
        _ => None,
    }
}

async fn carry_out(bench: &Bench, work: Work, desk: &Desk) -> Result<String> {
    match work {
        Work::Idle => Ok("The machine waits.".into()),
        Work::Reboot => Ok("The machine starts again.".into()),
        Work::PowerOff => Ok("The machine switches itself off.".into()),
        Work::Inventory => take_stock(bench, desk).await,
        Work::Test { tests } => trial::run(&tests, &bench.talk, desk).await,
        Work::Erase { mode } => {
            bench.holdings.clear();
            erase::run(mode, desk).await
        }
        Work::Write(order) => write::run(&order, &bench.talk, &bench.holdings, desk).await,
    }
}

/// The inventory goes out at once. Switches tell who they are every 30 s (IEEE 802.1AB): who is heard later goes
/// out in a second one, while the machine is already on to other things.
async fn take_stock(bench: &Bench, desk: &Desk) -> Result<String> {
    desk.say("Looking at the hardware.");
    let (boot, neighbours) = (bench.options.boot_mac.clone(), bench.neighbours.clone());
    let look = move || inventory::take(&boot, &neighbours.all());
    let facts = tokio::task::spawn_blocking(look.clone()).await.map_err(Fault::internal)?;
    desk.insist(|| bench.talk.inventory(&facts)).await?;
    let summary = inventory::summary(&facts);
    let (talk, neighbours) = (bench.talk.clone(), bench.neighbours.clone());
    tokio::spawn(async move {
        if neighbours.heard_more(facts.nics.iter().filter(|n| n.lldp.is_some()).count()).await
            && let Ok(later) = tokio::task::spawn_blocking(look).await
        {
            let _ = talk.inventory(&later).await;
        }
    });
    Ok(summary)
}

fn name(work: &Work) -> &'static str {
    match work {
        Work::Idle => "wait",
        Work::Inventory => "look at the hardware",
        Work::Test { .. } => "test the hardware",
        Work::Erase { .. } => "erase the disks",
        Work::Write(_) => "write an image",
        Work::Reboot => "restart",
        Work::PowerOff => "switch off",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::body::Bytes;
    use axum::http::{StatusCode, Uri};
    use axum::routing::{get, put};
    use base::doc::live::Report;
    use std::sync::{Arc, Mutex};

    #[tokio::test]
    async fn the_rack_hears_of_us_while_a_task_cannot_be_stopped() {
        let heard: Arc<Mutex<Vec<String>>> = Arc::default();
        let (asked, said) = (heard.clone(), heard.clone());
        // A newer one comes, and after that none.
        let task = move |uri: Uri| async move {
            let query = uri.query().unwrap_or_default().to_owned();
            let newer = query.contains("since=5&");
            asked.lock().unwrap().push(query);
            let task = serde_json::to_string(&Task { number: 6, work: Work::Idle }).unwrap();
            if newer { (StatusCode::OK, task) } else { (StatusCode::NO_CONTENT, String::new()) }
        };
        let report = move |body: Bytes| async move {
            let report: Report = serde_json::from_slice(&body).unwrap();
            said.lock().unwrap().push(format!("{}: {}", report.number, report.reason));
        };
        let router = Router::new().route("/live/v1/task", get(task)).route("/live/v1/report", put(report));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let talk = Talk::new(&format!("http://{}", listener.local_addr().unwrap()), 0);
        tokio::spawn(async move { axum::serve(listener, router).await });
        let (end, over) = tokio::sync::oneshot::channel();
        let before = tokio::spawn(async move {
            let _ = over.await;
            None
        });
        let next = Task { number: 5, work: Work::Idle };
        let waiting = tokio::spawn(async move { once_ended(&talk, next, before).await.number });
        while heard.lock().unwrap().len() < 5 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        end.send(()).unwrap();
        assert_eq!(waiting.await.unwrap(), 6);
        let heard = heard.lock().unwrap();
        assert!(heard[0].contains("cannot be stopped") && heard[0].starts_with("5: "), "{heard:?}");
        assert!(heard[1].starts_with("since=5") && heard[2].starts_with("6: "), "{heard:?}");
        assert!(heard[3].starts_with("since=6"), "{heard:?}");
    }
}
