//! A PC kernel's image, and the kernel in it.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

/// Copies the kernel, unpacked if possible, since the guest would need two seconds to unpack it.
pub(super) fn copy_kernel(folder: &Path) -> Result<()> {
    let boot = folder.join("root/boot");
    let names = fs::read_dir(&boot)?.filter_map(|entry| Some(entry.ok()?.file_name()));
    let name = names
        .into_iter()
        .find(|name| name.to_string_lossy().starts_with("vmlinuz"))
        .context("the package has no kernel")?;
    let image = fs::read(boot.join(name))?;
    let kernel = folder.join("kernel");
    let unpacked = packed_kernel(&image).is_some_and(|packed| unxz(packed, &kernel).is_ok());
    if !unpacked {
        fs::write(kernel, image)?;
    }
    Ok(())
}

/// Returns the compressed kernel in an image: Documentation/arch/x86/boot.rst in the Linux source.
fn packed_kernel(image: &[u8]) -> Option<&[u8]> {
    let number = |at: usize| Some(u32::from_le_bytes(*image.get(at..)?.first_chunk()?) as usize);
    let setup_sectors = usize::from(*image.get(0x1f1)?);
    let start = (setup_sectors + 1) * 512 + number(0x248)?;
    // The last four bytes are the length of the unpacked kernel.
    let len = number(0x24c)?.checked_sub(4)?;
    image.get(start..)?.get(..len)
}

fn unxz(packed: &[u8], to: &Path) -> Result<()> {
    let mut xz = Command::new("xz")
        .arg("-dc")
        .stdin(Stdio::piped())
        .stdout(File::create(to)?)
        .stderr(Stdio::null())
        .spawn()?;
    xz.stdin.take().context("xz has no input")?.write_all(packed)?;
    ensure!(xz.wait()?.success(), "xz cannot unpack it");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_locates_the_compressed_kernel() {
        let mut image = vec![0; 2048];
        image[0x1f1] = 1;
        image[0x248..0x24c].copy_from_slice(&10_u32.to_le_bytes());
        image[0x24c..0x250].copy_from_slice(&7_u32.to_le_bytes());
        image[1034..1041].copy_from_slice(b"xyz\x03\0\0\0");
        assert_eq!(packed_kernel(&image), Some(&b"xyz"[..]));
        assert_eq!(packed_kernel(&image[..1036]), None);
        assert_eq!(packed_kernel(b"short"), None);
    }
}
