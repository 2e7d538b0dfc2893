//! How containers come into an allocation's network namespace.
//!
//! The engine lets a container join another container's network, and no file's. So an allocation gets one more container, whose
//! only process goes into the namespace and then waits: whoever joins it is in the namespace as well. The namespace itself is
//! the agent's, and outlives this container and the engine (docs/decisions/0031-bridge-networks.md).
//!
//! Its image is made here, of one program of a few instructions; nothing is fetched.

#![allow(clippy::disallowed_methods, reason = "files of the kernel below /proc")]

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bollard::Docker;
use bollard::errors::Error as ApiError;
use bollard::models::{ContainerCreateBody, HostConfig, HostConfigLogConfig};
use bollard::query_parameters::{
    CreateContainerOptions, CreateImageOptions, InspectContainerOptions, ListContainersOptions,
};
use bytes::Bytes;
use futures::StreamExt;
use sha2::{Digest, Sha256};
use tarpan_model::AllocId;

use super::{remove, text};
use crate::driver::DriverError;

/// Label of such a container: the file of the namespace that it is in.
const LABEL: &str = "tarpan.netns";
const REPOSITORY: &str = "tarpan-pause";
/// How long its process may take to get there.
const PATIENCE: Duration = Duration::from_secs(10);

/// Its name; the field's.
pub(super) fn name(id: AllocId) -> String {
    format!("nomad_init_{id}")
}

/// The container that others join, running and in the namespace: the one that is there, or a new one.
pub(super) async fn ensure(engine: &Docker, id: AllocId, netns: &Path, hostname: &str) -> Result<(), DriverError> {
    let name = name(id);
    let failed = |what: &str, why: String| {
        DriverError::start(format!("failed to bring containers into the allocation's network: {what}: {why}"), true)
    };
    if waits_in(engine, &name, netns).await == Some(true) {
        return Ok(());
    }
    remove(engine, &name).await;
    let image = image(engine).await.map_err(|why| failed("making the image", why))?;
    let options = CreateContainerOptions { name: Some(name.clone()), ..Default::default() };
    let created = engine.create_container(Some(options), body(image, netns, hostname)).await;
    created.map_err(|e| failed("creating the container", text(&e)))?;
    engine.start_container(&name, None).await.map_err(|e| failed("starting the container", text(&e)))?;
    let begun = tokio::time::Instant::now();
    loop {
        match waits_in(engine, &name, netns).await {
            Some(true) => return Ok(()),
            // It has not got there yet.
            Some(false) if begun.elapsed() < PATIENCE => tokio::time::sleep(Duration::from_millis(5)).await,
            there => {
                let why = why_not(engine, &name, there.is_some()).await;
                remove(engine, &name).await;
                return Err(failed("joining the namespace", why));
            }
        }
    }
}

/// Whether its process is in the namespace; `None`: it does not run.
async fn waits_in(engine: &Docker, name: &str, netns: &Path) -> Option<bool> {
    let found = engine.inspect_container(name, None::<InspectContainerOptions>).await.ok()?;
    let state = found.state.filter(|s| s.running == Some(true))?;
    let identity = |path: &Path| std::fs::metadata(path).ok().map(|m| (m.dev(), m.ino()));
    let own = identity(Path::new(&format!("/proc/{}/ns/net", state.pid?)));
    Some(own.is_some() && own == identity(netns))
}

async fn why_not(engine: &Docker, name: &str, runs: bool) -> String {
    if runs {
        return "the engine's processes are not seen from here: it must run on this machine".to_owned();
    }
    let found = engine.inspect_container(name, None::<InspectContainerOptions>).await.ok();
    let state = found.and_then(|c| c.state).unwrap_or_default();
    let code = state.exit_code.unwrap_or_default();
    // What the program could not do it says by the number of the error.
    let error = std::io::Error::from_raw_os_error(i32::try_from(code).unwrap_or(0));
    state.error.filter(|e| !e.is_empty()).unwrap_or_else(|| format!("its process ended with {code} ({error})"))
}

/// It sees nothing but the namespace, writes nothing, and has given up every right before it waits.
fn body(image: String, netns: &Path, hostname: &str) -> ContainerCreateBody {
    let list = |text: &str| Some(vec![text.to_owned()]);
    ContainerCreateBody {
        image: Some(image),
        cmd: list("/pause"),
        hostname: Some(hostname.to_owned()).filter(|h| !h.is_empty()),
        labels: Some(HashMap::from([(LABEL.to_owned(), netns.display().to_string())])),
        host_config: Some(HostConfig {
            network_mode: Some("none".to_owned()),
            binds: Some(vec![format!("{}:/netns:ro", netns.display())]),
            cap_drop: list("ALL"),
            cap_add: list("SYS_ADMIN"),
            // Where the engine maps users, root of a container has no right to a namespace of the node.
            userns_mode: Some("host".to_owned()),
            readonly_rootfs: Some(true),
            log_config: Some(HostConfigLogConfig { typ: Some("none".to_owned()), config: None }),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    }
}

/// Containers of ours for namespaces in this directory.
pub(super) async fn all(engine: &Docker, dir: &Path) -> Result<Vec<PathBuf>, ApiError> {
    let filters = HashMap::from([("label".to_owned(), vec![LABEL.to_owned()])]);
    let options = ListContainersOptions { all: true, filters: Some(filters), ..Default::default() };
    let containers = engine.list_containers(Some(options)).await?;
    let paths = containers.into_iter().filter_map(|c| Some(PathBuf::from(c.labels?.get(LABEL)?)));
    Ok(paths.filter(|path| path.parent() == Some(dir)).collect())
}

/// Removes the container of a namespace, if there is one.
pub(super) async fn leave(engine: &Docker, id: AllocId, netns: &Path) {
    let found = engine.inspect_container(&name(id), None::<InspectContainerOptions>).await;
    let label = found.ok().and_then(|c| c.config?.labels?.get(LABEL).cloned());
    if label.is_some_and(|label| Path::new(&label) == netns) {
        remove(engine, &name(id)).await;
    }
}

/// The image's name; it is made where the engine has it not.
async fn image(engine: &Docker) -> Result<String, String> {
    let program = program().ok_or_else(|| format!("not known for {}", std::env::consts::ARCH))?;
    let digest = Sha256::digest(&program);
    let tag: String = digest[..6].iter().map(|byte| format!("{byte:02x}")).collect();
    let full = format!("{REPOSITORY}:{tag}");
    if engine.inspect_image(&full).await.is_ok() {
        return Ok(full);
    }
    let root = root(&program).map_err(|e| e.to_string())?;
    let options = CreateImageOptions {
        from_src: Some("-".to_owned()),
        repo: Some(REPOSITORY.to_owned()),
        tag: Some(tag),
        ..Default::default()
    };
    let mut answers = std::pin::pin!(engine.create_image(Some(options), Some(bollard::body_full(root)), None));
    while let Some(answer) = answers.next().await {
        answer.map_err(|e| text(&e))?;
    }
    Ok(full)
}

/// The whole file system: the program, and what the namespace is mounted on.
fn root(program: &[u8]) -> std::io::Result<Bytes> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, mode, content) in [("pause", 0o755, program), ("netns", 0o444, &[])] {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(mode);
        tar.append_data(&mut header, path, content)?;
    }
    Ok(tar.into_inner()?.into())
}

/// An ELF file of one segment: headers, then the instructions. `None`: they are not written for this processor.
fn program() -> Option<Vec<u8>> {
    /// Where it lies in memory, and how long its two headers are.
    const BASE: u64 = 0x40_0000;
    const HEADERS: u64 = 64 + 56;
    let (machine, code) = code()?;
    let size = HEADERS + code.len() as u64;
    let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    let short = |elf: &mut Vec<u8>, numbers: &[u16]| numbers.iter().for_each(|n| elf.extend(n.to_le_bytes()));
    let int = |elf: &mut Vec<u8>, numbers: &[u32]| numbers.iter().for_each(|n| elf.extend(n.to_le_bytes()));
    let long = |elf: &mut Vec<u8>, numbers: &[u64]| numbers.iter().for_each(|n| elf.extend(n.to_le_bytes()));
    // An executable of this machine; its entry, its program header, no sections.
    short(&mut elf, &[2, machine]);
    int(&mut elf, &[1]);
    long(&mut elf, &[BASE + HEADERS, 64, 0]);
    int(&mut elf, &[0]);
    short(&mut elf, &[64, 56, 1, 0, 0, 0]);
    // All of it is loaded, to be read and run.
    int(&mut elf, &[1, 5]);
    long(&mut elf, &[0, BASE, BASE, size, size, 0x1000]);
    elf.extend(code);
    Some(elf)
}

/// ELF's number of the processor, and the instructions between the two marks.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
fn code() -> Option<(u16, &'static [u8])> {
    unsafe extern "C" {
        static tarpan_pause_begin: u8;
        static tarpan_pause_end: u8;
    }
    let machine = if cfg!(target_arch = "x86_64") { 62 } else { 183 };
    let (begin, end) = (&raw const tarpan_pause_begin, &raw const tarpan_pause_end);
    // SAFETY: both marks are in one read-only section, the end behind the beginning, and nothing but bytes between.
    Some((machine, unsafe { std::slice::from_raw_parts(begin, end.offset_from_unsigned(begin)) }))
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn code() -> Option<(u16, &'static [u8])> {
    None
}

// open("/netns"), setns to it, give up every capability, wait for ever. What fails ends it, with the error's number.
#[cfg(target_arch = "x86_64")]
std::arch::global_asm!(
    ".pushsection .rodata.tarpan_pause, \"a\", @progbits",
    ".balign 8",
    ".globl tarpan_pause_begin",
    "tarpan_pause_begin:",
    "mov eax, 2",
    "lea rdi, [rip + 55f]",
    "mov esi, 0x80000",
    "xor edx, edx",
    "syscall",
    "test eax, eax",
    "js 44f",
    "mov edi, eax",
    "mov esi, 0x40000000",
    "mov eax, 308",
    "syscall",
    "test eax, eax",
    "jnz 44f",
    "mov eax, 126",
    "lea rdi, [rip + 66f]",
    "lea rsi, [rip + 77f]",
    "syscall",
    "test eax, eax",
    "jnz 44f",
    "33:",
    "mov eax, 34",
    "syscall",
    "jmp 33b",
    "44:",
    "neg eax",
    "mov edi, eax",
    "mov eax, 231",
    "syscall",
    "55:",
    ".asciz \"/netns\"",
    ".balign 8",
    "66:",
    ".long 0x20080522, 0",
    "77:",
    ".zero 24",
    ".globl tarpan_pause_end",
    "tarpan_pause_end:",
    ".popsection",
);

#[cfg(target_arch = "aarch64")]
std::arch::global_asm!(
    ".pushsection .rodata.tarpan_pause, \"a\", @progbits",
    ".balign 8",
    ".globl tarpan_pause_begin",
    "tarpan_pause_begin:",
    "mov x8, #56",
    "mov x0, #-100",
    "adr x1, 55f",
    "mov x2, #0x80000",
    "mov x3, #0",
    "svc #0",
    "tbnz w0, #31, 44f",
    "mov x1, #0x40000000",
    "mov x8, #268",
    "svc #0",
    "cbnz w0, 44f",
    "mov x8, #91",
    "adr x0, 66f",
    "adr x1, 77f",
    "svc #0",
    "cbnz w0, 44f",
    "33:",
    "mov x0, #0",
    "mov x1, #0",
    "mov x2, #0",
    "mov x3, #0",
    "mov x8, #73",
    "svc #0",
    "b 33b",
    "44:",
    "neg w0, w0",
    "mov x8, #94",
    "svc #0",
    "55:",
    ".asciz \"/netns\"",
    ".balign 8",
    "66:",
    ".word 0x20080522, 0",
    "77:",
    ".zero 24",
    ".globl tarpan_pause_end",
    "tarpan_pause_end:",
    ".popsection",
);

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    /// It runs where it is: without a namespace to go to it ends, and says that there is no such file.
    #[test]
    fn the_program_runs_and_says_what_it_lacks() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("pause");
        std::fs::write(&path, super::program().expect("known for this processor")).expect("written");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&path, mode).expect("made executable");
        assert!(!std::path::Path::new("/netns").exists());
        let status = std::process::Command::new(&path).status().expect("runs");
        assert_eq!((status.code(), status.signal()), (Some(libc::ENOENT), None));
    }
}
