//! The machine that a benchmark runs on.

use std::process::Command;
use std::{fs, thread};

use serde_json::{Map, Value};

/// Processor flags that decide how the kernel copies to and from user space: with `rep movsb` for
/// all sizes, or for long copies (arch/x86/lib/copy_user_64.S). On AMD with `fsrm`, the alignment
/// of a buffer matters.
const COPY_FLAGS: [&str; 2] = ["fsrm", "erms"];

/// Returns the kernel, the processor and its frequency governor.
pub fn facts() -> Map<String, Value> {
    let read = |path: &str| fs::read_to_string(path).map(|text| text.trim().to_owned()).ok();
    let system = read("/etc/os-release").unwrap_or_default();
    let system = system.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    let governor = read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor");
    let date = Command::new("date")
        .arg("-I")
        .output()
        .map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let facts = [
        ("date", date.unwrap_or_default().trim().to_owned()),
        ("system", system.unwrap_or("unknown").trim_matches('"').to_owned()),
        ("kernel", read("/proc/sys/kernel/osrelease").unwrap_or_default()),
        ("cpu", processor()),
        ("cores", thread::available_parallelism().map_or(0, |cores| cores.get()).to_string()),
        ("governor", governor.unwrap_or("unknown".into())),
        ("congestion control", read("/proc/sys/net/ipv4/tcp_congestion_control").unwrap_or_default()),
    ];
    facts.into_iter().map(|(key, value)| (key.to_owned(), Value::String(value))).collect()
}

/// Returns the processor's model and its copy flags.
pub fn processor() -> String {
    describe(&fs::read_to_string("/proc/cpuinfo").unwrap_or_default())
}

fn describe(cpuinfo: &str) -> String {
    let field = |name: &str| {
        let mut lines = cpuinfo.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim())
    };
    let Some(model) = field("model name") else {
        // Only x86 has these flags.
        return std::env::consts::ARCH.into();
    };
    let numbers = ["cpu family", "model", "stepping"].map(|name| field(name).unwrap_or("?"));
    let flags: Vec<&str> = field("flags").unwrap_or_default().split(' ').collect();
    let copies: Vec<&str> = COPY_FLAGS.into_iter().filter(|flag| flags.contains(flag)).collect();
    let copies = if copies.is_empty() { "neither fsrm nor erms".into() } else { copies.join(", ") };
    let [family, number, stepping] = numbers;
    format!("{model} (family {family}, model {number}, stepping {stepping}; {copies})")
}

#[cfg(test)]
mod tests {
    use super::describe;

    #[test]
    fn processor_is_described_with_its_copy_flags() {
        let cpuinfo = "processor\t: 0\ncpu family\t: 25\nmodel\t\t: 17\nmodel name\t: AMD EPYC\nstepping\t: 1\n\
                       flags\t\t: fpu erms avx fsrm\n\nprocessor\t: 1\nmodel name\t: another\n";
        assert_eq!(describe(cpuinfo), "AMD EPYC (family 25, model 17, stepping 1; fsrm, erms)");
        let without = cpuinfo.replace("erms avx fsrm", "avx");
        assert!(describe(&without).ends_with("neither fsrm nor erms)"));
        assert_eq!(describe("processor\t: 0\nBogoMIPS\t: 50\n"), std::env::consts::ARCH);
    }
}
