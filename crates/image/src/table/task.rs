//! Tasks: imports as the API shows them.

use crate::model::TaskStatus;
use base::{Fault, ImageId, Micros, ProjectId, Result};
use serde_json::{Value, json};
use store::{Row, Tx, log::Who, params};

/// The type of tasks that administrators make, which make their image.
pub const IMPORT: &str = "import";
/// The type of what `/v2/images/{id}/import` starts.
pub const IMAGE_IMPORT: &str = "api_image_import";

#[derive(Debug, Clone)]
pub struct Task {
    pub id: String,
    pub kind: String,
    pub status: TaskStatus,
    pub image: ImageId,
    pub image_made: Micros,
    pub owner: ProjectId,
    pub user: String,
    pub request_id: String,
    pub input: Value,
    pub message: String,
    pub created_at: Micros,
    pub updated_at: Micros,
    pub expires_at: Option<Micros>,
}

impl Task {
    /// Whether the image is there for the task's sake, and goes when it fails.
    pub fn makes_image(&self) -> bool {
        self.kind == IMPORT
    }
    pub fn who(&self) -> Who {
        Who {
            request_id: self.request_id.clone(),
            user_id: self.user.clone(),
            project_id: self.owner.0.clone(),
        }
    }
    /// As lists show it.
    pub fn brief(&self) -> Value {
        json!({
            "id": self.id,
            "type": self.kind,
            "status": self.status.as_str(),
            "owner": self.owner,
            "created_at": self.created_at.seconds_z(),
            "updated_at": self.updated_at.seconds_z(),
            "expires_at": self.expires_at.map(Micros::seconds_z),
            "self": format!("/v2/tasks/{}", self.id),
            "schema": "/v2/schemas/task",
        })
    }
    pub fn view(&self) -> Value {
        let mut view = self.brief();
        let made = self.makes_image() && self.status == TaskStatus::Success;
        view["input"] = self.input.clone();
        view["result"] = if made { json!({"image_id": self.image}) } else { Value::Null };
        view["message"] = Value::from(self.message.as_str());
        view
    }
    /// As the tasks of an image are shown.
    pub fn of_image(&self) -> Value {
        let mut view = self.view();
        view["image_id"] = json!(self.image);
        view["request_id"] = Value::from(self.request_id.as_str());
        view["user_id"] = Value::from(self.user.as_str());
        view["deleted"] = Value::from(false);
        view["deleted_at"] = Value::Null;
        view
    }
}

pub const COLUMNS: &str =
    "id, type, status, image_id, image_made, owner, user_id, request_id, input, message,
    created_at, updated_at, expires_at";

pub fn task(r: &Row<'_>) -> Result<Task> {
    Ok(Task {
        id: r.get(0)?,
        kind: r.get(1)?,
        status: r.get(2)?,
        image: r.get(3)?,
        image_made: r.get(4)?,
        owner: r.get(5)?,
        user: r.get(6)?,
        request_id: r.get(7)?,
        input: serde_json::from_str(&r.get::<String>(8)?)?,
        message: r.get(9)?,
        created_at: r.get(10)?,
        updated_at: r.get(11)?,
        expires_at: r.get(12)?,
    })
}

pub fn find(tx: &Tx<'_>, id: &str) -> Result<Option<Task>> {
    tx.opt(&format!("SELECT {COLUMNS} FROM image_task WHERE id = $1"), params![id], task)
}

/// The tasks of an image, newest first.
pub fn of_image(tx: &Tx<'_>, image: ImageId, made: Micros) -> Result<Vec<Task>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM image_task WHERE image_id = $1 AND image_made = $2 ORDER BY created_at DESC, id LIMIT 100"
    );
    tx.rows(&sql, params![image, made], task)
}

pub fn insert(tx: &Tx<'_>, t: &Task) -> Result<()> {
    tx.exec_unique(
        "INSERT INTO image_task (id, type, status, image_id, image_made, owner, user_id, request_id, input, created_at,
         updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10)",
        params![
            &t.id,
            &t.kind,
            t.status.as_str(),
            t.image,
            t.image_made,
            &t.owner,
            &t.user,
            &t.request_id,
            t.input.to_string(),
            t.created_at
        ],
        || Fault::conflict(format!("Task {} exists already.", t.id)),
    )?;
    Ok(())
}

pub fn processing(tx: &Tx<'_>, id: &str) -> Result<()> {
    tx.exec(
        "UPDATE image_task SET status = 'processing', updated_at = $2 WHERE id = $1 AND status = 'pending'",
        params![id, Micros::now()],
    )?;
    Ok(())
}

/// Ends a task, with why if it failed.
pub fn end(tx: &Tx<'_>, id: &str, why: Option<&str>, expires_at: Micros) -> Result<()> {
    let status = if why.is_some() { TaskStatus::Failure } else { TaskStatus::Success };
    tx.exec(
        "UPDATE image_task SET status = $2, message = $3, updated_at = $4, expires_at = $5 WHERE id = $1",
        params![id, status.as_str(), why.unwrap_or(""), Micros::now(), expires_at],
    )?;
    Ok(())
}

pub fn delete(tx: &Tx<'_>, id: &str) -> Result<()> {
    tx.exec("DELETE FROM image_task WHERE id = $1", params![id])?;
    Ok(())
}

/// Imports that are under way for an image.
pub fn under_way(tx: &Tx<'_>, image: ImageId) -> Result<Vec<String>> {
    let sql = "SELECT id FROM image_task WHERE image_id = $1 AND status IN ('pending', 'processing')";
    tx.rows(sql, params![image], |r| r.get(0))
}

/// The process whose job the task waits for.
pub fn job_by(tx: &Tx<'_>, id: &str) -> Result<String> {
    tx.one("SELECT job_by FROM image_task WHERE id = $1", params![id], |r| r.get(0))
}

pub fn take_job(tx: &Tx<'_>, id: &str, process: &str) -> Result<()> {
    tx.exec("UPDATE image_task SET job_by = $2 WHERE id = $1", params![id, process])?;
    Ok(())
}
