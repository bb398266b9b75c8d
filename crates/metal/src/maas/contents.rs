//! All resources of the door.

use super::table::Table;
use super::{config, describe, keys, users};
use api::Rule;

const ANY: Rule = Rule::READER;

/// The whole table.
pub fn table() -> Table {
    let mut t = Table::default();
    itself(&mut t);
    people(&mut t);
    t
}

fn itself(t: &mut Table) {
    t.at("Describe", "describe/", "What this API can do.").get(
        Rule::Open,
        "This description.",
        describe::describe,
    );
    t.at("Version", "version/", "Information about this installation.").get(
        Rule::Open,
        "Version and capabilities.",
        describe::version,
    );
    t.at("Maas", "maas/", "The settings.")
        .op_get("get_config", ANY, "A setting (name).", config::get)
        .op_post("set_config", Rule::ADMIN, "Changes a setting (name, value).", config::set);
    t.beside("Authenticate", "/MAAS/accounts/authenticate/", "").post(
        Rule::Open,
        "Name and password for a key.",
        keys::authenticate,
    );
}

fn people(t: &mut Table) {
    t.at("Account", "account/", "The current user's keys.")
        .op_post("create_authorisation_token", ANY, "A new key (name).", keys::create)
        .op_post("delete_authorisation_token", ANY, "Deletes a key (token_key).", keys::delete)
        .op_post("update_token_name", ANY, "Renames a key (token, name).", keys::rename)
        .op_get("list_authorisation_tokens", ANY, "The user's keys.", keys::list);
    t.at("Users", "users/", "The users.")
        .get(ANY, "All users; oneself for who is no administrator.", users::list)
        .op_get("whoami", ANY, "The user of this key.", users::whoami)
        .post(Rule::ADMIN, "Refused: users are made with the Identity API.", users::elsewhere);
    t.at("User", "users/{username}/", "A user.")
        .get(ANY, "One user; others than oneself for administrators.", users::read)
        .delete(Rule::ADMIN, "Refused: users are deleted with the Identity API.", users::elsewhere);
}
