//! What of a source is dangerous to have twice, or cannot work in a copy: said once, never touched.

use std::collections::BTreeSet;

use wpar_mountd::error::FsError;
use wpar_mountd::types::FileKind;

use super::draft::Draft;
use super::{Decisions, Situation};
use crate::model::pattern::matches;

/// Services, by unit or init script without its suffix, and what their second start would do.
const SERVICES: &[(&str, &[&str])] = &[
    (
        "it takes over addresses or fences its peers",
        &[
            "keepalived",
            "heartbeat",
            "corosync",
            "pacemaker",
            "pcsd",
            "ucarp",
            "vrrpd",
        ],
    ),
    (
        "it replicates disks under the source's name",
        &["drbd", "linstor-satellite"],
    ),
    (
        "it joins its cluster as the source's node",
        &[
            "etcd",
            "consul",
            "nomad",
            "kubelet",
            "k3s",
            "k3s-agent",
            "rke2-*",
            "zookeeper",
            "elasticsearch",
            "opensearch",
            "cassandra",
            "rabbitmq-server",
            "slurmd",
            "glusterd",
            "ceph-*",
            "pve-cluster",
        ],
    ),
    (
        "a second instance with the same data and the same identity for replication",
        &[
            "mysql",
            "mysqld",
            "mariadb",
            "postgresql",
            "postgresql-*",
            "postgresql@*",
            "mongod",
            "redis",
            "redis-server",
            "slapd",
            "dirsrv@*",
        ],
    ),
    (
        "it reports, or backs up, under the source's name",
        &[
            "bacula-fd",
            "bareos-filedaemon",
            "bareos-fd",
            "burp-client",
            "amanda",
            "veeamservice",
            "dsmcad",
            "puppet",
            "chef-client",
            "salt-minion",
            "zabbix-agent",
            "zabbix-agent2",
            "datadog-agent",
            "qualys-cloud-agent",
            "falcon-sensor",
            "osqueryd",
            "rhsmcertd",
            "insights-client",
            "landscape-client",
            "gitlab-runner",
            "actions.runner.*",
            "certbot",
        ],
    ),
    (
        "its licence may be bound to the source's hardware",
        &["lmgrd", "flexlm", "licd", "haspd", "aksusbd"],
    ),
];

/// Files and directories that have something in them, and what that means.
const DATA: &[(&[&str], &str)] = &[
    (
        &[
            "var/spool/postfix/deferred/*",
            "var/spool/postfix/active",
            "var/spool/postfix/incoming",
            "var/spool/postfix/maildrop",
            "var/spool/exim4/input",
            "var/spool/mqueue",
        ],
        "mail that waits to be sent would be sent twice",
    ),
    (
        &[
            "var/spool/cron/crontabs",
            "var/spool/cron/tabs",
            "var/spool/cron",
        ],
        "users' crontabs run in the WPAR, too",
    ),
    (
        &["var/spool/cron/atjobs", "var/spool/at"],
        "jobs of at(1) run in the WPAR, too",
    ),
];

/// Identities that stay.
const IDENTITIES: &[(&str, &str)] = &[
    ("etc/krb5.keytab", "the Kerberos keys"),
    ("var/lib/sss/db", "the SSSD data"),
    ("etc/pki/consumer/cert.pem", "the subscription"),
];

/// Adds a note for each.
///
/// # Errors
/// Those of reading the source.
pub(super) fn decide(situation: &Situation<'_>, decisions: &mut Decisions) -> Result<(), FsError> {
    let mut draft = Draft::new(situation.files, std::mem::take(decisions));
    let enabled = enabled(&mut draft)?;
    for (what, patterns) in SERVICES {
        let mut names = enabled
            .iter()
            .filter(|name| patterns.iter().any(|pattern| matches(pattern, name)));
        let shown: Vec<&str> = names.by_ref().take(8).map(String::as_str).collect();
        if !shown.is_empty() {
            draft.note(format!(
                "starts with the WPAR: {} ({what})",
                shown.join(", ")
            ));
        }
    }
    for (directories, what) in DATA {
        for directory in *directories {
            if has_files(&mut draft, directory)? {
                draft.note(format!("/{}: {what}", directory.trim_end_matches("/*")));
                break;
            }
        }
    }
    for (path, what) in IDENTITIES {
        if draft.leads_somewhere(path)? && (!path.ends_with("/db") || has_files(&mut draft, path)?)
        {
            draft.note(format!("{what} of the source stay: /{path}"));
        }
    }
    *decisions = draft.finish();
    Ok(())
}

/// Services that the source starts by itself, without suffix and without those that are masked.
fn enabled(draft: &mut Draft<'_>) -> Result<BTreeSet<String>, FsError> {
    let mut enabled = BTreeSet::new();
    for (path, _) in draft.expand("etc/systemd/system/*.wants/*.service")? {
        let unit = path.rsplit('/').next().unwrap_or_default();
        let masked = format!("etc/systemd/system/{unit}");
        if !draft
            .decisions()
            .edits
            .iter()
            .any(|edit| edit.path == masked)
        {
            enabled.insert(unit.trim_end_matches(".service").to_owned());
        }
    }
    for level in ["etc/rc2.d", "etc/rc3.d", "etc/rc5.d"] {
        let listing = draft.listing(level)?;
        let services = listing
            .names
            .iter()
            .filter_map(|(name, _)| name.strip_prefix('S')?.get(2..));
        enabled.extend(services.map(str::to_owned));
    }
    for (path, _) in draft.expand("etc/runlevels/*/*")? {
        enabled.extend(path.rsplit('/').next().map(str::to_owned));
    }
    Ok(enabled)
}

/// Whether there is a file in the directories that `pattern` matches.
fn has_files(draft: &mut Draft<'_>, pattern: &str) -> Result<bool, FsError> {
    for (path, _) in draft.expand(pattern)? {
        let listing = draft.listing(&path)?;
        let mut names = listing.names.iter();
        if names.any(|(name, kind)| *kind == FileKind::Regular && !name.starts_with('.')) {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::super::fake_tree::FakeTree;
    use super::*;
    use crate::model::{CopyControls, Edit, Hostname, Put};

    fn notes(files: &[(&str, &str)], mut decisions: Decisions) -> Vec<String> {
        let situation = Situation {
            private_lists: &[],
            files: &FakeTree::new(files),
            of_running_system: false,
            controls: CopyControls::default(),
            hostname: &Hostname::new("wpar1").unwrap(),
            resolver: None,
        };
        decide(&situation, &mut decisions).unwrap();
        decisions.view.notes
    }

    #[test]
    fn what_would_run_twice_is_said_once() {
        let files = [
            (
                "etc/systemd/system/multi-user.target.wants/keepalived.service",
                "->/lib/systemd/system/keepalived.service",
            ),
            (
                "etc/systemd/system/multi-user.target.wants/postgresql@15-main.service",
                "->/lib/systemd/system/postgresql@.service",
            ),
            (
                "etc/systemd/system/multi-user.target.wants/cron.service",
                "->/lib/systemd/system/cron.service",
            ),
            (
                "etc/systemd/system/multi-user.target.wants/kubelet.service",
                "->/lib/systemd/system/kubelet.service",
            ),
            ("lib/systemd/system/mariadb.service", "not enabled"),
            ("etc/rc2.d/S20keepalived", "->../init.d/keepalived"),
            ("etc/rc3.d/S20zabbix-agent", "->../init.d/zabbix-agent"),
            ("etc/runlevels/default/etcd", "->/etc/init.d/etcd"),
            ("var/spool/postfix/deferred/A/A1B2C3", "a mail"),
            ("var/spool/cron/crontabs/anna", "0 * * * * backup"),
            ("var/spool/cron/atjobs/.SEQ", ""),
            ("etc/krb5.keytab", "keys"),
        ];
        let mut decisions = Decisions::default();
        decisions.edits.push(Edit {
            path: "etc/systemd/system/kubelet.service".to_owned(),
            what: Put::Link("/dev/null".to_owned()),
            reason: String::new(),
        });
        assert_eq!(
            notes(&files, decisions),
            [
                "starts with the WPAR: keepalived (it takes over addresses or fences its peers)",
                "starts with the WPAR: etcd (it joins its cluster as the source's node)",
                "starts with the WPAR: postgresql@15-main (a second instance with the same data \
                 and the same identity for replication)",
                "starts with the WPAR: zabbix-agent (it reports, or backs up, under the source's \
                 name)",
                "/var/spool/postfix/deferred: mail that waits to be sent would be sent twice",
                "/var/spool/cron/crontabs: users' crontabs run in the WPAR, too",
                "the Kerberos keys of the source stay: /etc/krb5.keytab",
            ]
        );
    }

    #[test]
    fn there_is_nothing_to_say_of_a_plain_system() {
        let files = [
            ("etc/passwd", "root:x:0:0::/root:/bin/sh\n"),
            ("var/spool/cron/crontabs/", ""),
            ("var/spool/postfix/deferred/", ""),
            (
                "etc/systemd/system/multi-user.target.wants/ssh.service",
                "->/lib/systemd/system/ssh.service",
            ),
        ];
        assert!(notes(&files, Decisions::default()).is_empty());
    }
}
