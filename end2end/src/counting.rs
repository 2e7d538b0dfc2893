//! Tasks that count, by driver: a line each time, so that a lost or doubled one is seen.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

/// For a shell: `line 1`, `line 2`, …
pub const SHELL: &str = "i=0; while true; do i=$((i+1)); echo line $i; sleep 0.05; done";

/// The same in Java, whose first argument is `line`.
const JAVA: &str = "public class Counter { public static void main(String[] a) throws Exception {
    for (int i = 1; ; i++) { System.out.println(a[0] + \" \" + i); Thread.sleep(50); } } }";

/// Compiles `Counter.class` into a folder.
pub fn java_class(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    let source = folder.join("Counter.java");
    std::fs::write(&source, JAVA)?;
    let compiled = std::process::Command::new("javac").args(["--release", "11"]).arg(&source).status()?;
    ensure!(compiled.success(), "javac: {compiled}");
    Ok(())
}

/// A guest that counts on its first serial port, a line each time the clock interrupts it: a boot sector at 0x7c00, 16 bits.
fn guest() -> Vec<u8> {
    let code: &[u8] = &[
        0x31, 0xc0, 0x8e, 0xd8, 0xfb, // xor ax, ax; mov ds, ax; sti
        0xbe, 0x2f, 0x7c, // next: mov si, the last digit
        0xfe, 0x04, 0x80, 0x3c, 0x3a, 0x75, 0x06, // count: inc byte [si]; cmp byte [si], 0x3a; jne print
        0xc6, 0x04, 0x30, 0x4e, 0xeb, 0xf3, // mov byte [si], '0'; dec si; jmp count
        0xbe, 0x26, 0x7c, // print: mov si, text
        0xac, 0x08, 0xc0, 0x74, 0x06, // say: lodsb; or al, al; jz done
        0xba, 0xf8, 0x03, 0xee, 0xeb, 0xf5, // mov dx, 0x3f8; out dx, al; jmp say
        0xf4, 0xeb, 0xdf, // done: hlt; jmp next
    ];
    let mut disk = [code, b"line 00000\n\0"].concat();
    disk.resize(510, 0);
    disk.extend([0x55, 0xaa]);
    disk.resize(1 << 20, 0);
    disk
}

/// Writes the guest's disk, `counts.img`, into a folder.
pub fn guest_disk(folder: &Path) -> Result<PathBuf> {
    std::fs::create_dir_all(folder)?;
    let path = folder.join("counts.img");
    std::fs::write(&path, guest())?;
    Ok(path)
}

/// `line 1`, `line 2`, … without a gap; gives the last number. What a machine says before is its own affair, and its last words
/// may come after the first line.
pub fn unbroken(text: &str) -> Result<u64> {
    let begins = |(line, before)| text.find(line).map(|at| (at, before));
    let begun = [("line 1\n", 0), ("line 00002\n", 1)].into_iter().filter_map(begins).min();
    let (at, mut last) = begun.unwrap_or((text.len(), 0));
    for line in text[at..].lines() {
        let number: u64 =
            line.strip_prefix("line ").with_context(|| format!("a line of the counter, not {line:?}"))?.parse()?;
        ensure!(number == last + 1, "after line {last} came {line:?}");
        last = number;
    }
    Ok(last)
}
