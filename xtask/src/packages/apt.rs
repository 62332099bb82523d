//! Downloading and unpacking Debian packages.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::command::output;
use crate::notice::notice;

/// Downloads packages and unpacks them into the folder `root`, with those of their dependencies
/// that are not installed.
///
/// `newest` names a package that depends on the newest version of another one, which is unpacked
/// without dependencies.
pub(super) fn fetch(folder: &Path, needed: &[&str], newest: Option<&str>) -> Result<()> {
    notice(format!("fetching {}", needed.iter().copied().chain(newest).collect::<Vec<_>>().join(", ")));
    let debs = folder.join("debs");
    fs::create_dir(&debs)?;
    // The system's package lists may be absent or out of date. New ones go to this folder.
    let system = Apt { options: Vec::new() };
    system.download(needed, newest, &debs).or_else(|_| {
        let lists = folder.join("lists");
        Apt::update(&lists)?.download(needed, newest, &debs)?;
        anyhow::Ok(fs::remove_dir_all(lists)?)
    })?;
    for deb in fs::read_dir(&debs)? {
        let deb = deb?.path();
        if deb.extension() == Some(OsStr::new("deb")) {
            output(Command::new("dpkg").arg("-x").arg(&deb).arg(folder.join("root")))?;
        }
    }
    Ok(fs::remove_dir_all(debs)?)
}

/// APT, with the package lists of the system or of a folder. Nothing here needs a privilege.
struct Apt {
    options: Vec<OsString>,
}

impl Apt {
    /// Downloads the package lists into a folder.
    fn update(folder: &Path) -> Result<Self> {
        let mut options = Vec::new();
        for (name, place) in [("Dir::State::Lists", "state"), ("Dir::Cache", "cache")] {
            fs::create_dir_all(folder.join(place).join("partial"))?;
            let mut option = OsString::from(format!("{name}="));
            option.push(folder.join(place));
            options.extend(["-o".into(), option]);
        }
        let apt = Self { options };
        output(apt.command("apt-get").arg("update"))?;
        Ok(apt)
    }

    fn download(&self, needed: &[&str], newest: Option<&str>, folder: &Path) -> Result<()> {
        let mut install = self.command("apt-get");
        let plan = output(install.args(["install", "--simulate", "--no-install-recommends"]).args(needed))?;
        let mut names: Vec<&str> = needed.to_vec();
        names.extend(packages_to_install(&plan));
        let depends = match newest {
            Some(name) => output(self.command("apt-cache").arg("depends").arg(name))?,
            None => String::new(),
        };
        names.extend(depends.lines().filter_map(|line| line.trim().strip_prefix("Depends: ")).take(1));
        names.sort_unstable();
        names.dedup();
        output(self.command("apt-get").arg("download").args(names).current_dir(folder)).map(drop)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        // APT would change to a user who cannot write into a folder of root's.
        command.args(["-q", "-o", "APT::Sandbox::User=root"]).args(&self.options).env("LC_ALL", "C");
        command
    }
}

/// Returns the packages that `apt-get install --simulate` would install.
fn packages_to_install(plan: &str) -> impl Iterator<Item = &str> {
    plan.lines().filter_map(|line| line.strip_prefix("Inst ")?.split_whitespace().next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plan_names_the_packages_to_install() {
        let plan = "NOTE: only a simulation\nRemv b [2]\nInst a (1 Debian:12 [amd64])\nInst lib+c [0] (1)\nConf a (1)\n";
        assert_eq!(packages_to_install(plan).collect::<Vec<_>>(), ["a", "lib+c"]);
    }
}
