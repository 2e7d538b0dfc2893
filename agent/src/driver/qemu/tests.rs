//! With the QEMU of this machine, and a guest of one sector.

use std::time::Duration;

use serde_json::json;
use tarpan_model::resources::PortMapping;

use super::*;
use crate::driver::exec::tests::Place as Room;

async fn there() -> bool {
    match Qemu::new(PluginConfig::default()).fingerprint().await {
        info if info.healthy => true,
        info if std::env::var_os("CI").is_some() => panic!("{}", info.health_description),
        info => {
            eprintln!("skipped: {}", info.health_description);
            false
        }
    }
}

/// A guest that says `booted` on its first serial port, waits for the power button, says `off`, and powers off.
///
/// Boot sector at 0x7c00, 16 bits. The ports are those of the machine `pc`: COM1 at 0x3f8; power management at 0x600, with the button's
/// bit 8 of its status, of what is enabled at 0x602, and of its control at 0x604, where 0x2000 is soft off.
fn guest() -> Vec<u8> {
    let code: &[u8] = &[
        0x31, 0xc0, 0x8e, 0xd8, // xor ax, ax; mov ds, ax
        0xbe, 0x3e, 0x7c, 0xe8, 0x21, 0x00, // mov si, booted; call say
        0xba, 0x02, 0x06, 0xb8, 0x00, 0x01, 0xef, // mov dx, 0x602; mov ax, 0x100; out dx, ax
        0xba, 0x00, 0x06, 0xed, 0xf6, 0xc4, 0x01, 0x74,
        0xf7, // wait: mov dx, 0x600; in ax, dx; test ah, 1; jz wait
        0xbe, 0x46, 0x7c, 0xe8, 0x0b, 0x00, // mov si, off; call say
        0xba, 0x04, 0x06, 0xb8, 0x00, 0x20, 0xef, // mov dx, 0x604; mov ax, 0x2000; out dx, ax
        0xf4, 0xeb, 0xfd, // halt: hlt; jmp halt
        0x90, // nop
        0xac, 0x08, 0xc0, 0x74, 0x06, // say: lodsb; or al, al; jz done
        0xba, 0xf8, 0x03, 0xee, 0xeb, 0xf5, // mov dx, 0x3f8; out dx, al; jmp say
        0xc3, // done: ret
        0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, // up to 0x3e
    ];
    let mut disk = code.to_vec();
    disk.resize(0x3e, 0x90);
    disk.extend(b"booted\n\0off\n\0");
    disk.resize(510, 0);
    disk.extend([0x55, 0xaa]);
    disk.resize(1 << 20, 0);
    disk
}

fn room(config: Value) -> Room {
    let mut room = Room::new(config);
    room.request.resources.memory_mb = 128;
    room.request.env.insert("PATH".to_owned(), std::env::var("PATH").unwrap_or_default());
    std::fs::write(room.request.dirs.local.join("disk.img"), guest()).expect("written");
    room
}

async fn says(room: &Room, what: &str) {
    let begun = std::time::Instant::now();
    while !room.log("stdout").contains(what) {
        let said = format!("{}{}", room.log("stdout"), room.log("stderr"));
        assert!(begun.elapsed() < Duration::from_secs(90), "waited in vain for {what}: {said}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_guest_boots_and_is_shut_down_by_its_power_button() {
    if !there().await {
        return;
    }
    let qemu = Qemu::new(PluginConfig::default());
    for found_again in [false, true] {
        let room = room(json!({"image_path": "local/disk.img", "graceful_shutdown": true, "guest_agent": true}));
        let started = qemu.start(room.request.clone(), Arc::new(|_| {})).await.expect("starts");
        says(&room, "booted").await;
        let handle = match found_again {
            true => qemu.find(&Mark::of(NAME, &room.request)).await.expect("looked").expect("it runs"),
            false => started,
        };
        assert!(room.request.dirs.task.join(GUEST_AGENT).exists());
        handle.stop("SIGINT", Duration::from_secs(60)).await.expect("stopped");
        let exit = handle.wait().await;
        assert!(exit.success() && room.log("stdout").contains("off"), "{exit:?} {}", room.log("stdout"));
        handle.destroy().await;
        assert!(!room.request.run_dir.exists());
    }
    // Without the button it is a process that is told to end.
    let room = room(json!({"image_path": room_path(), "args": ["-no-reboot"]}));
    let handle = qemu.start(room.request.clone(), Arc::new(|_| {})).await.expect("starts");
    says(&room, "booted").await;
    handle.stop("", Duration::from_secs(60)).await.expect("stopped");
    assert!(!handle.wait().await.oom_killed && !room.log("stdout").contains("off"));
    handle.destroy().await;
}

/// As a job may write it, with the whole path of its own directory.
fn room_path() -> String {
    "local/./disk.img".to_owned()
}

#[tokio::test]
async fn images_are_the_jobs_or_the_operators_and_whole() {
    let there = tempfile::tempdir().expect("a directory");
    let elsewhere = there.path().join("disk.img");
    std::fs::write(&elsewhere, guest()).expect("written");
    let room = room(json!({}));
    let (dirs, local) = (&room.request.dirs, room.request.dirs.local.clone());
    let qcow2 = |backing: u8, features: u8| {
        let mut head =
            [&b"QFI\xfb\0\0\0\x03"[..], &[0, 0, 0, 0, 0, 0, 0, backing], &[0; 56], &[0, 0, 0, 0, 0, 0, 0, features]]
                .concat();
        head.resize(4096, 0);
        head
    };
    for (name, bytes) in [
        ("whole", qcow2(0, 0)),
        ("backed", qcow2(104, 0)),
        ("apart", qcow2(0, 4)),
        ("vmdk", b"KDMV\x01\0\0\0".to_vec()),
    ] {
        std::fs::write(local.join(name), bytes).expect("written");
    }
    std::os::unix::fs::symlink(&elsewhere, local.join("out")).expect("linked");
    let open = PluginConfig { image_paths: vec![there.path().to_owned()], ..PluginConfig::default() };
    let closed = PluginConfig::default();
    let text = |path: &Path| path.to_string_lossy().into_owned();
    for (plugin, path, expected) in [
        (&closed, "local/disk.img".to_owned(), Ok("raw")),
        (&closed, text(&local.join("disk.img")), Ok("raw")),
        (&closed, "local/whole".to_owned(), Ok("qcow2")),
        (&open, text(&elsewhere), Ok("raw")),
        (&closed, text(&elsewhere), Err("image_paths = [")),
        (&open, "/etc/hostname".to_owned(), Err("is not in the allocation's directory")),
        (&closed, "local/out".to_owned(), Err("Path escapes")),
        (&closed, "../../../etc/passwd".to_owned(), Err("Path escapes")),
        (&closed, "local/backed".to_owned(), Err("names a backing file")),
        (&closed, "local/apart".to_owned(), Err("keeps its data in another file")),
        (&closed, "local/vmdk".to_owned(), Err("must be raw or qcow2")),
        (&closed, "local/none".to_owned(), Err("opening image_path local/none")),
        (&closed, String::new(), Err("image_path is required")),
    ] {
        let found = image(plugin, dirs, Some(&path)).map(|image| image.format).map_err(|e| e.to_string());
        match (&found, expected) {
            (Ok(format), Ok(wanted)) => assert_eq!(*format, wanted, "{path}"),
            (Err(text), Err(part)) => assert!(text.contains(part), "{path}: {text}"),
            other => panic!("{path}: {other:?}"),
        }
    }
}

fn config(value: Value) -> Config {
    let Value::Object(value) = value else { panic!("an object") };
    crate::driver::decode(&value.into_iter().collect()).expect("a config")
}

#[tokio::test]
async fn what_is_asked_for_becomes_arguments() {
    let mut room = room(json!({}));
    room.request.ports =
        vec![PortMapping { label: "ssh".into(), value: 22_022, host_ip: "10.0.0.1".into(), ..PortMapping::default() }];
    let image = Image { path: "/a,b/disk".into(), format: "raw" };
    let line = |value: Value| {
        arguments(&config(value), &room.request, &image).map(|all| all.join(" ")).map_err(|e| e.to_string())
    };
    let plain = line(json!({})).expect("fine");
    assert!(plain.starts_with("-machine type=pc,accel=tcg -name web-"), "{plain}");
    assert!(plain.ends_with("-m 128M -drive file=/a,,b/disk,format=raw,if=ide -nographic"), "{plain}");
    let all = json!({"accelerator": "kvm", "drive_interface": "virtio", "machine_type": "q35", "args": ["-vga", "none"],
        "port_map": {"ssh": 22}});
    let all = line(all).expect("fine");
    for part in [
        "type=q35,accel=kvm",
        "if=virtio",
        "-cpu host",
        "hostfwd=tcp:10.0.0.1:22022-:22,hostfwd=udp:10.0.0.1:22022-:22",
        "-nographic -vga none",
    ] {
        assert!(all.contains(part), "{part}: {all}");
    }
    for (value, expected) in [
        (json!({"machine_type": "pc,accel=kvm"}), "machine_type must be letters"),
        (json!({"drive_interface": "ide,snapshot=on"}), "drive_interface must be letters"),
        (json!({"port_map": {"http": 80}}), "the group has no port \"http\""),
        (json!({"port_map": {"ssh": "many"}}), "\"many\" of \"ssh\" is no port"),
    ] {
        let refused = line(value).expect_err(expected);
        assert!(refused.contains(expected), "{refused}");
    }
}

#[test]
fn emulators_and_flags_are_the_operators_to_allow() {
    let of = |emulators: &[&str], flags: &[&str]| {
        let owned = |all: &[&str]| all.iter().map(|&one| one.to_owned()).collect();
        Qemu::new(PluginConfig {
            emulators_allowlist: owned(emulators),
            args_allowlist: owned(flags),
            ..PluginConfig::default()
        })
    };
    let args = |qemu: &Qemu, all: &[&str]| {
        qemu.check_args(&all.iter().map(|&one| one.to_owned()).collect::<Vec<_>>()).map_err(|e| e.to_string())
    };
    assert_eq!(args(&of(&[], &[]), &["-device", "x"]), Ok(()));
    assert_eq!(args(&of(&[], &["-vga"]), &["--vga", "none"]), Ok(()));
    assert!(
        args(&of(&[], &["-vga"]), &["-device", "x"]).expect_err("refused").contains("args_allowlist = [\"-device\"]")
    );
    for (allowed, asked, expected) in [
        (&["qemu-system-arm"][..], "qemu-system-x86_64", "emulators_allowlist = [\"qemu-system-x86_64\"]"),
        (&[], "sh", "must be the name of a program such as"),
        (&[], "/bin/sh", "must be letters"),
        (&[], "qemu-system-none", "executable file not found"),
    ] {
        let refused = of(allowed, &[]).emulator(Some(asked)).expect_err(asked).to_string();
        assert!(refused.contains(expected), "{refused}");
    }
}

#[tokio::test]
async fn its_version_is_on_the_node() {
    if !there().await {
        return;
    }
    let info = Qemu::new(PluginConfig::default()).fingerprint().await;
    let of = |key: &str| info.attributes.get(key).map(ToString::to_string).unwrap_or_default();
    assert!(of("driver.qemu.version").contains('.') && of("driver.qemu.emulators").contains(EMULATOR), "{info:?}");
    assert_eq!(version("QEMU emulator version 7.2.22 (Debian 1:7.2)\nmore").as_deref(), Some("7.2.22"));
    assert_eq!(version("nothing"), None);
}
