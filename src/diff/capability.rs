//! File capabilities in words: the value of `security.capability` (capabilities(7); the kernel's
//! `struct vfs_cap_data` and `vfs_ns_cap_data`, all little-endian).

/// Capabilities by number (`linux/capability.h`).
const NAMES: [&str; 41] = [
    "chown",
    "dac_override",
    "dac_read_search",
    "fowner",
    "fsetid",
    "kill",
    "setgid",
    "setuid",
    "setpcap",
    "linux_immutable",
    "net_bind_service",
    "net_broadcast",
    "net_admin",
    "net_raw",
    "ipc_lock",
    "ipc_owner",
    "sys_module",
    "sys_rawio",
    "sys_chroot",
    "sys_ptrace",
    "sys_pacct",
    "sys_admin",
    "sys_boot",
    "sys_nice",
    "sys_resource",
    "sys_time",
    "sys_tty_config",
    "mknod",
    "lease",
    "audit_write",
    "audit_control",
    "setfcap",
    "mac_override",
    "mac_admin",
    "syslog",
    "wake_alarm",
    "block_suspend",
    "audit_read",
    "perfmon",
    "bpf",
    "checkpoint_restore",
];

/// The capabilities that a value gives, such as `cap_net_raw=ep`, in the manner of getcap(8).
pub(super) fn describe(value: &[u8]) -> String {
    match parse(value) {
        Some(text) => text,
        None => "capabilities that make no sense".to_owned(),
    }
}

fn parse(value: &[u8]) -> Option<String> {
    const EFFECTIVE: u32 = 1;
    let word = |index: usize| -> Option<u32> {
        let bytes = value.get(index * 4..index * 4 + 4)?;
        Some(u32::from_le_bytes(bytes.try_into().ok()?))
    };
    let header = word(0)?;
    let (has_high, root) = match header >> 24 {
        1 => (false, None),
        2 => (true, None),
        3 => (true, Some(word(5)?)),
        _ => return None,
    };
    let both = |low: usize, high: usize| -> Option<u64> {
        let high = if has_high { word(high)? } else { 0 };
        Some(u64::from(high) << 32 | u64::from(word(low)?))
    };
    let (permitted, inheritable) = (both(1, 3)?, both(2, 4)?);
    let flags = [
        (header & EFFECTIVE != 0, "e"),
        (inheritable != 0, "i"),
        (permitted != 0, "p"),
    ];
    let flags: String = flags
        .iter()
        .filter(|flag| flag.0)
        .map(|flag| flag.1)
        .collect();
    let root = root
        .filter(|&root| root != 0)
        .map(|root| format!(" [rootid={root}]"));
    Some(format!(
        "{}={flags}{}",
        names(permitted | inheritable),
        root.unwrap_or_default()
    ))
}

/// Names of the capabilities of a set.
fn names(set: u64) -> String {
    let is_in = |number: &usize| set >> number & 1 == 1;
    let name = |number| match NAMES.get(number) {
        Some(name) => format!("cap_{name}"),
        None => format!("cap_{number}"),
    };
    (0..64)
        .filter(is_in)
        .map(name)
        .collect::<Vec<_>>()
        .join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_getcap_reads_them() {
        for (value, text) in [
            (
                &b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0"[..],
                "cap_net_raw=ep",
            ),
            (
                b"\0\0\0\x02\0\x30\0\0\0\0\0\0\0\x01\0\0\0\0\0\0",
                "cap_net_admin,cap_net_raw,cap_checkpoint_restore=p",
            ),
            (
                b"\x01\0\0\x03\x01\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\xe8\x03\0\0",
                "cap_chown=eip [rootid=1000]",
            ),
            (b"", "capabilities that make no sense"),
            (b"\0\0\0\x09\0\0\0\0", "capabilities that make no sense"),
        ] {
            assert_eq!(describe(value), text);
        }
    }
}
