//! The PCs of the bare-metal tests are what they say: switched by their BMCs, and blank.

use crate::bmc::{Controller, Firmware, Kit, Pc};
use crate::wait::{LONG, until_true};
use crate::wire::Wire;
use std::net::Ipv4Addr;
use std::process::Command;

#[test]
fn up_blank_pcs_are_switched_by_their_bmcs() {
    assert!(rustix::process::geteuid().is_root(), "network namespaces need root: run `make test` as root");
    let wire = Wire::new();
    let kit = |number, firmware, controller| Kit {
        number,
        firmware,
        controller,
        memory_mb: 256,
        disk_mb: 64,
        wire: wire.bridge(),
        management: (Some(&wire.netns), Ipv4Addr::new(127, 0, 0, number)),
    };

    let plan = kit(1, Firmware::Bios, Controller::Ipmi);
    let pc = Pc::new(&plan);
    assert!(!pc.is_on());
    let tell = |arguments: &[&str]| pc.ipmitool(arguments).expect("the BMC does it");
    tell(&["bootdev", "pxe"]);
    tell(&["power", "on"]);
    until_true(LONG, "it is on", || pc.is_on());
    pc.wait_for(LONG, "iPXE");
    assert!(tell(&["power", "status"]).contains("is on"));
    pc.lose_power();
    assert!(tell(&["power", "status"]).contains("is off"));
    pc.press_button();
    tell(&["power", "off"]);
    assert!(!pc.is_on());
    assert_eq!(pc.orders(), ["boot network", "on", "off", "on", "off"]);
    let heard = pc.heard();
    assert!(heard.sessions >= 5 && heard.packets > 20, "{heard:?}");
    assert_eq!(heard.wrong, Vec::<String>::new());

    let plan = kit(3, Firmware::UefiPxe, Controller::Ipmi);
    let third = Pc::new(&plan);
    third.ipmitool(&["power", "on"]).expect("the BMC does it");

    let plan = kit(2, Firmware::UefiHttp, Controller::Redfish);
    let pc = Pc::new(&plan);
    let url = pc.bmc()["url"].as_str().unwrap().to_owned();
    let ask = |method: &str, path: &str, body: &str| {
        let mut curl = Command::new("nsenter");
        let here = format!("--net=/run/netns/{}", wire.netns);
        curl.arg(here).args(["curl", "-sS", "-u", "admin:metal-secret"]);
        curl.args(["-X", method, "-H", "Content-Type: application/json", "-d", body]);
        let said = curl.arg(format!("{url}/redfish/v1/Systems/{}{path}", pc.uuid())).output().unwrap();
        String::from_utf8_lossy(&said.stdout).into_owned()
    };
    ask("PATCH", "", r#"{"Boot": {"BootSourceOverrideTarget": "Pxe", "BootSourceOverrideEnabled": "Once"}}"#);
    ask("POST", "/Actions/ComputerSystem.Reset", r#"{"ResetType": "On"}"#);
    until_true(LONG, "it is on", || ask("GET", "", "").contains(r#""PowerState": "On""#) && pc.is_on());
    pc.wait_for(LONG, "HTTP");
    third.wait_for(LONG, "PXE");
    ask("POST", "/Actions/ComputerSystem.Reset", r#"{"ResetType": "ForceOff"}"#);
    until_true(LONG, "it is off", || ask("GET", "", "").contains(r#""PowerState": "Off""#) && !pc.is_on());
}
