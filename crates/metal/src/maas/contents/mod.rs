//! All resources of the door.

mod networks;
mod storage;

use super::table::Table;
use super::{
    account, config, describe, events, images, keys, machines, metadata, network, ops, places, results, tags,
    uploads, users,
};
use crate::table::named::Kind;
use api::Rule;
use http::Method;

const ANY: Rule = Rule::READER;
const MEMBER: Rule = Rule::MEMBER;

const IMAGES: &str = "Images come by the Image API: `openstack image create --disk-format qcow2 --file FILE NAME`. They \
                      can be deployed by that name.";
const KEYS: &str = "Keys are not fetched from other services. Add the key itself (key=…).";
const SCRIPTS: &str = "Commissioning and testing are built in; there are no scripts to upload.";
const NOTICES: &str = "Notifications are made from what is: they come and go with it.";
const DEVICES: &str = "There are no devices here. To keep an address for a network card, reserve it (reservedips/); for \
                       anything else keep one (ipaddresses/?op=reserve).";
const CURTIN: &str = "Machines are written by image here, not by curtin: there is no curtin configuration.";
const TOKEN: &str = "A machine's key is known to its own system only.";
const CHASSIS: &str = "Machines are found when they boot from the network; enter the power of each with it.";
const CLONE: &str = "Disks and interfaces are as they are measured; there is no configuration to copy.";

/// The whole table.
pub fn table() -> Table {
    let mut t = Table::default();
    itself(&mut t);
    people(&mut t);
    own(&mut t);
    places(&mut t);
    machines(&mut t);
    networks::resources(&mut t);
    images(&mut t);
    of_machines(&mut t);
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
        .post(
            Rule::ADMIN,
            "A new one, of Identity (username, email, password, is_superuser).",
            users::create,
        );
    t.at("User", "users/{username}/", "A user.")
        .get(ANY, "One user; others than oneself for administrators.", users::read)
        .delete(Rule::ADMIN, "Deletes it, unless machines are the user's.", users::delete);
}

fn places(t: &mut Table) {
    labelled(t, Kind::Zone, ("Zones", "zones/"), ("Zone", "zones/{name}/"));
    labelled(t, Kind::Pool, ("ResourcePools", "resourcepools/"), ("ResourcePool", "resourcepool/{id}/"));
    t.beside("Pools", "/MAAS/api/2.0/pools/", "")
        .get(ANY, "As resourcepools/, for Juju.", |d, _| places::list(d, Kind::Pool));
    t.at("Tags", "tags/", "Words on machines.").get(ANY, "All tags.", tags::list).post(
        Rule::ADMIN,
        "A new tag (name, comment, kernel_opts).",
        tags::create,
    );
    t.at("Tag", "tags/{name}/", "A tag.")
        .get(ANY, "Reads it.", tags::read)
        .put(Rule::ADMIN, "Changes comment or kernel options.", tags::update)
        .delete(Rule::ADMIN, "Takes it off every machine and forgets it.", tags::delete)
        .op_get("machines", ANY, "Machines that have it.", tags::machines)
        .op_get("nodes", ANY, "As machines.", tags::machines)
        .op_get("devices", ANY, "None.", network::none)
        .op_get("rack_controllers", ANY, "None.", network::none)
        .op_get("region_controllers", ANY, "None.", network::none)
        .op_post(
            "update_nodes",
            Rule::ADMIN,
            "Puts it onto machines (add) and takes it off (remove).",
            tags::update_nodes,
        );
}

fn labelled(t: &mut Table, kind: Kind, all: (&'static str, &str), one: (&'static str, &str)) {
    t.at(all.0, all.1, "Where machines are, or to whom they are given.")
        .get(ANY, "All of them.", move |d, _| places::list(d, kind))
        .post(Rule::ADMIN, "A new one (name, description).", move |d, c| places::create(d, c, kind));
    t.at(one.0, one.1, "One of them.")
        .get(ANY, "Reads it.", move |d, c| places::read(d, c, kind))
        .put(Rule::ADMIN, "Changes name or description.", move |d, c| places::update(d, c, kind))
        .delete(Rule::ADMIN, "Deletes it; its machines go to the default.", move |d, c| {
            places::delete(d, c, kind)
        });
}

fn machines(t: &mut Table) {
    t.at("Machines", "machines/", "The machines.")
        .get(ANY, "Machines that one sees (hostname, mac_address, id, zone, pool, tags, …).", machines::list)
        .post(Rule::ADMIN, "Enters a machine (mac_addresses, hostname, power_type, …).", machines::create)
        .op_post("allocate", MEMBER, "Gives a ready machine that has all that is asked.", machines::allocate)
        .op_post("release", MEMBER, "Takes several back (machines).", machines::release)
        .op_post("accept", Rule::ADMIN, "Measures new machines (machines).", machines::accept)
        .op_post("accept_all", Rule::ADMIN, "Measures all new machines.", machines::accept)
        .op_post("set_zone", Rule::ADMIN, "Moves machines to a zone (nodes, zone).", machines::set_zone)
        .refuse(Method::POST, "add_chassis", Rule::ADMIN, CHASSIS)
        .refuse(Method::POST, "clone", Rule::ADMIN, CLONE)
        .op_get("list_allocated", ANY, "The user's own.", machines::list_allocated)
        .op_get(
            "power_parameters",
            Rule::ADMIN,
            "How machines are switched (id).",
            machines::power_parameters,
        );
    machine(t);
    t.at("Nodes", "nodes/", "As machines.")
        .get(ANY, "As machines.", machines::list)
        .op_get("is_registered", ANY, "Whether a MAC is a machine's.", machines::is_registered)
        .op_post("set_zone", Rule::ADMIN, "As machines.", machines::set_zone);
    t.at("Node", "nodes/{system_id}/", "As a machine.")
        .get(ANY, "As a machine.", ops::read)
        .op_get("details", ANY, "As a machine.", ops::details)
        .op_get("power_parameters", Rule::ADMIN, "As a machine.", ops::power_parameters);
    storage::parts(t);
    t.at("NodeResults", "nodes/{system_id}/results/", "What measuring and testing gave.").get(
        ANY,
        "Newest first (type, filters, include_output).",
        results::results,
    );
    t.at("NodeResult", "nodes/{system_id}/results/{id}/", "One set of results.").get(
        ANY,
        "By number, or current-testing, current-commissioning.",
        results::results,
    );
    t.at("NodeScripts", "scripts/", "Measuring and tests, which are built in.")
        .get(ANY, "All of them (type).", results::scripts)
        .refuse(Method::POST, "", Rule::ADMIN, SCRIPTS);
    t.at("NodeScript", "scripts/{name}", "One of them.").get(ANY, "By name.", results::scripts);
    t.at("Notifications", "notifications/", "What an administrator should look at.")
        .get(ANY, "Of administrators only: silent racks, segments in trouble.", results::notifications)
        .refuse(Method::POST, "", Rule::ADMIN, NOTICES);
    t.at("Notification", "notifications/{id}/", "One of them.")
        .get(ANY, "It.", results::notifications)
        .refuse(Method::POST, "dismiss", Rule::ADMIN, NOTICES);
    t.at("Events", "events/", "What happened.").op_get(
        "query",
        ANY,
        "Newest first (level, limit, id, …).",
        events::query,
    );
    t.at("Devices", "devices/", "Things with an address that are no machines: none.")
        .get(ANY, "None.", network::none)
        .refuse(Method::POST, "", MEMBER, DEVICES);
}

fn machine(t: &mut Table) {
    t.at("Machine", "machines/{system_id}/", "A machine.")
        .get(ANY, "Reads it.", ops::read)
        .put(Rule::ADMIN, "Changes hostname, description, zone, pool, power.", ops::update)
        .delete(Rule::ADMIN, "Forgets it.", ops::delete)
        .op_post("commission", Rule::ADMIN, "Measures it (testing_scripts, enable_ssh).", ops::commission)
        .op_post("test", Rule::ADMIN, "Tests it (testing_scripts).", ops::test)
        .op_post(
            "override_failed_testing",
            Rule::ADMIN,
            "Failed tests do not matter.",
            ops::override_failed_testing,
        )
        .op_post("abort", MEMBER, "Gives up what is under way.", ops::abort)
        .op_post("deploy", MEMBER, "Writes an image (distro_series) and starts it (user_data).", ops::deploy)
        .op_post("release", MEMBER, "Takes it back (erase, secure_erase, quick_erase).", ops::release)
        .op_post("lock", MEMBER, "Nobody changes it.", ops::lock)
        .op_post("unlock", MEMBER, "It can be changed again.", ops::unlock)
        .op_post("mark_broken", MEMBER, "Takes it out of use (comment).", ops::mark_broken)
        .op_post("mark_fixed", Rule::ADMIN, "Takes it into use again.", ops::mark_fixed)
        .op_post("rescue_mode", Rule::ADMIN, "Brings up its live system.", ops::rescue_mode)
        .op_post("exit_rescue_mode", Rule::ADMIN, "Back to what it was.", ops::exit_rescue_mode)
        .op_post("power_on", MEMBER, "Switches it on.", ops::power_on)
        .op_post("power_off", MEMBER, "Switches it off (stop_mode).", ops::power_off)
        .op_get("query_power_state", ANY, "Power as last read.", ops::query_power_state)
        .op_get("power_parameters", Rule::ADMIN, "How it is switched.", ops::power_parameters)
        .op_post("set_owner_data", MEMBER, "The owner's notes.", ops::set_owner_data)
        .op_post("set_workload_annotations", MEMBER, "The same.", ops::set_owner_data)
        .op_get("details", ANY, "What it is made of, as BSON.", ops::details)
        .refuse(Method::GET, "get_curtin_config", ANY, CURTIN)
        .refuse(Method::GET, "get_token", Rule::ADMIN, TOKEN)
        .op_post("clear_default_gateways", Rule::ADMIN, "There is nothing to clear.", ops::read)
        .op_post("set_storage_layout", Rule::ADMIN, "Refused, unless flat or blank.", storage::layout)
        .refuse(Method::POST, "mount_special", MEMBER, storage::WORDS)
        .refuse(Method::POST, "unmount_special", MEMBER, storage::WORDS)
        .op_post("restore_default_configuration", Rule::ADMIN, "Nothing to restore.", ops::read)
        .op_post("restore_networking_configuration", Rule::ADMIN, "Nothing to restore.", ops::read)
        .op_post("restore_storage_configuration", Rule::ADMIN, "Nothing to restore.", ops::read);
}

fn images(t: &mut Table) {
    t.at("BootResources", "boot-resources/", "Images.")
        .get(ANY, "Images that can be deployed.", images::list)
        .post(Rule::ADMIN, "Announces an image (name, sha256, size, …).", uploads::create)
        .refuse(Method::POST, "import", Rule::ADMIN, IMAGES)
        .refuse(Method::POST, "stop_import", Rule::ADMIN, IMAGES)
        .op_get("is_importing", ANY, "No.", images::is_importing);
    t.at("BootResource", "boot-resources/{id}/", "An image.").get(ANY, "With its content.", images::read);
    t.beside("BootResourceFile", "/MAAS/api/2.0/boot-resources/{id}/upload/{file}/", "")
        .put(Rule::ADMIN, "The next piece of an announced image.", uploads::put)
        .raw();
    t.at("BootSources", "boot-sources/", "Streams of images: none.").get(ANY, "None.", network::none).refuse(
        Method::POST,
        "",
        Rule::ADMIN,
        IMAGES,
    );
}

fn own(t: &mut Table) {
    t.at("SSHKeys", "account/prefs/sshkeys/", "Keys that the user's machines let in.")
        .get(ANY, "All of them.", account::ssh_keys)
        .post(ANY, "A new one (key).", account::add_ssh_key)
        .refuse(Method::POST, "import", ANY, KEYS);
    t.at("SSHKey", "account/prefs/sshkeys/{id}/", "A key.").get(ANY, "It.", account::ssh_keys).delete(
        ANY,
        "Deletes it.",
        account::delete_ssh_key,
    );
    t.at("Files", "files/", "Files of the user.")
        .get(ANY, "Names (prefix).", account::files)
        .post(ANY, "Keeps a file (filename, file).", account::put_file)
        .op_get("get", ANY, "A file's bytes (filename).", account::file_bytes)
        .op_get("get_by_key", Rule::Open, "A file's bytes, for who has its own key.", account::file_by_key);
    t.at("File", "files/{filename}/", "A file.")
        .get(ANY, "With its content in base64.", account::file)
        .delete(ANY, "Deletes it.", account::delete_file);
}

fn of_machines(t: &mut Table) {
    const TREE: &str = "/MAAS/metadata/";
    let open = Rule::Open;
    t.beside("Metadata", TREE, "").get(open, "Versions (a machine's key).", metadata::versions);
    t.beside("MetadataVersion", &format!("{TREE}{{version}}/"), "")
        .get(open, "What there is (a machine's key).", metadata::index)
        .op_post("signal", open, "The system says how it gets on (a machine's key).", metadata::signal);
    t.beside("MetaData", &format!("{TREE}{{version}}/meta-data/"), "").get(
        open,
        "Its items (a machine's key).",
        metadata::meta_index,
    );
    t.beside("MetaDataItem", &format!("{TREE}{{version}}/meta-data/{{item}}/"), "").get(
        open,
        "An item (a machine's key).",
        metadata::meta,
    );
    t.beside("UserData", &format!("{TREE}{{version}}/user-data/"), "").get(
        open,
        "User data (a machine's key).",
        metadata::user_data,
    );
    t.beside("Status", &format!("{TREE}status/{{system_id}}/"), "")
        .post(open, "cloud-init's reports (a machine's key).", metadata::status)
        .raw();
    t.beside("Preseed", &format!("{TREE}{{version}}/by-id/{{system_id}}/"), "")
        .op_get("get_preseed", open, "Gone (410), for everybody.", metadata::nobody)
        .op_post("netboot_off", open, "Gone (410), for everybody.", metadata::nobody);
    t.beside("EnlistPreseed", &format!("{TREE}{{version}}/enlist-preseed/"), "").op_get(
        "get_enlist_preseed",
        open,
        "Gone (410), for everybody.",
        metadata::nobody,
    );
}
