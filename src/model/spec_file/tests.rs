//! Files as AIX has them, and back.

use proptest::prelude::*;

use super::*;

/// All that a file can say here.
const WHOLE: &str = "\
# made by hand
general:
\tname = \"billing\"
\thostname = \"billing.example.org\"
\tdirectory = \"/wpars/billing\"
\tprivateusr = \"yes\"
\tcheckpointable = \"no\"
\tauto = \"yes\"
\tscript = \"\"

network:
\tinterface = \"en0\"
\taddress = \"10.0.5.20\"
\tnetmask = \"255.255.255.0\"

network:
\tinterface =

route:
\trtdest = \"default\"
\trtgateway = \"10.0.5.1\"

mount:
\tdirectory = \"/\"
\tvfs = \"wpar\"
\tsize = 2097152
\tinodes = \"5000\"

resources:
\tactive = \"yes\"
\tshares_CPU = \"40\"
\tCPU = 0%-50%,100%

security:
\tprivs+=\"PV_KER_AIO\"
\tprivs-=\"PV_NET_PORT,PV_FS_MOUNT\"

device:
\tdevname = \"/dev/null\"
\texport = \"yes\"

* of our own
options:
\tsystemcopy = \"yes\"
\tbackup = \"/backup/with \\\"quotes\\\".tar\"   # here
\tversioned = \"yes\"

copy_controls:
\tpreserve_private = \"no\"
\tpreserve_wpars = \"yes\"
";

#[test]
fn a_file_in_the_form_of_aix_is_read() {
    let spec = SpecFile::parse(WHOLE).unwrap();
    assert_eq!(spec.name.as_deref(), Some("billing"));
    assert_eq!(spec.hostname.as_deref(), Some("billing.example.org"));
    assert_eq!(spec.directory.as_deref(), Some(Path::new("/wpars/billing")));
    assert_eq!(
        (spec.auto, spec.system_copy, spec.versioned),
        (Some(true), Some(true), Some(true))
    );
    assert_eq!(
        spec.backup.as_deref(),
        Some(Path::new("/backup/with \"quotes\".tar"))
    );
    assert_eq!(
        spec.network,
        [[
            "interface=en0",
            "address=10.0.5.20",
            "netmask=255.255.255.0"
        ]]
    );
    assert_eq!(spec.routes, [["rtdest=default", "rtgateway=10.0.5.1"]]);
    assert_eq!(
        spec.resources,
        ["active=yes", "shares_CPU=40", "CPU=0%-50%,100%"]
    );
    assert_eq!(spec.file_system, ["size=2097152", "inodes=5000"]);
    assert_eq!(spec.controls, ["preserve_private=no", "preserve_wpars=yes"]);
    assert_eq!(
        spec.security,
        ["privs+=PV_KER_AIO", "privs-=PV_NET_PORT,PV_FS_MOUNT"]
    );
    let again = SpecFile::parse(&spec.text().unwrap()).unwrap();
    // In the order of names.
    let security = ["privs+=PV_KER_AIO", "privs-=PV_FS_MOUNT,PV_NET_PORT"];
    let expected = SpecFile {
        security: security.map(str::to_owned).to_vec(),
        ..spec
    };
    assert_eq!(again, expected);
    assert_eq!(SpecFile::parse("").unwrap(), SpecFile::default());
}

#[test]
fn mistakes_are_told_with_their_line() {
    for (text, line, says) in [
        ("name = \"x\"\n", 1, "before the first stanza"),
        (
            "general:\n\n\tnam = \"x\"\n",
            3,
            "the stanza general has no key 'nam'",
        ),
        ("generale:\n", 1, "there is no stanza 'generale'"),
        ("general:\n\tname = \"a/b\"\n", 2, "'/'"),
        ("general:\n\thostname = \"a_!\"\n", 2, "not '!'"),
        (
            "general:\n\tauto = \"maybe\"\n",
            2,
            "'yes' or 'no', not 'maybe'",
        ),
        ("general:\n\tname = \"x\n", 2, "the quote is not closed"),
        (
            "general:\n\tname = \"x\" y\n",
            2,
            "behind the closing quote",
        ),
        ("general:\n\tname = x\"y\n", 2, "a quote inside"),
        ("general:\n\tname = \"x\\n\"\n", 2, "'\\'"),
        ("general:\n\tname = x\n\tname = y\n", 3, "already"),
        ("general:\ngeneral:\n", 2, "already"),
        ("general:\n\tname\n", 2, "neither"),
        ("general:\n\tname = \"\u{1b}[2J\"\n", 2, "control character"),
        (
            "general:\n\tdirectory = \"here\"\n",
            2,
            "must begin with '/'",
        ),
        ("general:\n\tuuid = \"123\"\n", 2, "no UUID"),
        ("general:\n\tprivateusr = \"maybe\"\n", 2, "'yes' or 'no'"),
        ("options:\n\tusrfrom = \"here\"\n", 2, "must begin with '/'"),
        ("general:\n\tname += \"x\"\n", 2, "no key 'name+='"),
        ("network:\n\taddress = \"10.0.5\"\n", 2, "IPv4 address"),
        ("network:\n\tadress = \"10.0.5.20\"\n", 2, "no key 'adress'"),
        (
            "general:\nnetwork:\n\tinterface = \"en0\"\n",
            2,
            "belong to an address",
        ),
        ("route:\n\trtdest = \"default\"\n", 1, "rtgateway"),
        ("route:\n\trtgateway = \"gw\"\n", 2, "it is an address"),
        ("mount:\n\tdirectory = \"/data\"\n", 2, "one file system"),
        ("mount:\n\tsize = \"lots\"\n", 2, "is no size"),
        ("resources:\n\tCPU = \"40\"\n", 2, "MIN%-SOFT%,HARD%"),
        (
            "resources:\n\tshares_memory = \"40\"\n",
            2,
            "no shares of memory",
        ),
        ("resources:\n\tcpus = \"4\"\n", 2, "no key 'cpus'"),
        (
            "security:\n\tprivs+=\"PV_ROOT\"\n",
            2,
            "cannot have PV_ROOT",
        ),
        ("security:\n\tprivs-=\"PV_NONE\"\n", 2, "no privilege"),
        ("security:\n\tsecfile=\"/x\"\n", 2, "in a file"),
        (
            "device:\n\tdevname = \"/dev/sda\"\n",
            2,
            "cannot be exported yet",
        ),
        (
            "copy_controls:\n\tpreserve_private = \"true\"\n",
            2,
            "not 'true'",
        ),
        ("kext:\n\tkext = \"ALL\"\n", 2, "host's"),
        ("options:\n\timage_data = \"/x\"\n", 2, "as it is"),
    ] {
        let error = SpecFile::parse(text).expect_err(text);
        assert_eq!(error.line, line, "{text:?}: {error}");
        assert!(error.what.contains(says), "{text:?}: {error}");
    }
}

#[test]
fn what_is_said_wins_over_the_file_and_the_file_over_the_template() {
    let spec = |name: Option<&str>, controls: &[&str]| SpecFile {
        name: name.map(str::to_owned),
        controls: controls.iter().map(|c| (*c).to_owned()).collect(),
        ..SpecFile::default()
    };
    let flags = spec(None, &["preserve_wpars=no"]);
    let file = spec(Some("file"), &["preserve_wpars=yes"]);
    let template = spec(Some("template"), &["preserve_private=yes"]);
    let all = flags.over(file).over(template);
    assert_eq!(all.name.as_deref(), Some("file"));
    let controls = CopyControls::parse(&all.controls).unwrap();
    assert!(controls.preserve_private && !controls.preserve_wpars);
}

/// `mkwpar -t -f FILE`: the running system, though the file names a backup.
#[test]
fn a_source_is_said_as_a_whole() {
    let file = SpecFile {
        system_copy: Some(true),
        backup: Some("/b".into()),
        ..SpecFile::default()
    };
    let host = SpecFile {
        system_copy: Some(true),
        ..SpecFile::default()
    };
    assert_eq!(host.over(file.clone()).backup, None);
    assert_eq!(SpecFile::default().over(file.clone()).backup, file.backup);
    let other = SpecFile {
        backup: Some("/other".into()),
        ..SpecFile::default()
    };
    assert_eq!(
        other.over(file).backup.as_deref(),
        Some(Path::new("/other"))
    );
}

#[test]
fn what_cannot_be_written_is_told() {
    let spec = SpecFile {
        backup: Some("/a\nb".into()),
        ..SpecFile::default()
    };
    assert!(
        spec.text()
            .unwrap_err()
            .to_string()
            .starts_with("backup cannot be written")
    );
}

fn path() -> impl Strategy<Value = PathBuf> {
    "/[ -~\u{e9}]{0,30}".prop_map(PathBuf::from)
}

prop_compose! {
    fn settings()(
        name in prop::option::of("[a-zA-Z1-9][a-zA-Z0-9_-]{0,20}"),
        hostname in prop::option::of("[a-z][a-z0-9]{0,10}(\\.[a-z]{1,5})?"),
        directory in prop::option::of(path()),
        auto in prop::option::of(any::<bool>()),
        script in prop::option::of(path()),
        uuid in prop::option::of("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"),
        system_copy in prop::option::of(any::<bool>()),
        backup in prop::option::of(path()),
        versioned in prop::option::of(any::<bool>()),
        lender in (prop::option::of(any::<bool>()), prop::option::of(path())),
        controls in any::<[bool; 2]>(),
        size in prop::option::of(1u64 << 20..1 << 50),
        inodes in prop::option::of(64u64..1 << 40),
        numbers in prop::collection::vec((1u8..255, any::<bool>()), 0..4),
        tasks in prop::option::of(8u64..1 << 40),
        taken in prop::sample::subsequence(vec!["PV_FS_MOUNT", "PV_NET_PORT", "PV_SU_UID"], 0..=3),
    ) -> SpecFile {
        let size = size.map(|size| size & !511);
        SpecFile {
            name, hostname, directory, auto, script, uuid, system_copy, backup, versioned,
            private_usr: lender.0,
            usr_from: lender.1,
            controls: keys::CONTROLS
                .iter()
                .zip(controls)
                .map(|(key, value)| format!("{key}={}", if value { "yes" } else { "no" }))
                .collect(),
            file_system: limit_pairs(SpaceLimits { size, inodes }),
            routing: auto,
            routes: numbers
                .iter()
                .map(|(n, _)| vec![format!("rtdest=10.{n}.0.0/16"), format!("rtgateway=10.0.0.{n}")])
                .collect(),
            network: numbers
                .iter()
                .map(|(n, masked)| {
                    let mask = masked.then(|| "netmask=255.255.0.0".to_owned());
                    let address = format!("address=10.0.0.{n}");
                    [Some(format!("interface=en{n}")), Some(address), mask]
                        .into_iter()
                        .flatten()
                        .collect()
                })
                .collect(),
            resources: tasks
                .map(|tasks| format!("totalThreads={tasks}"))
                .into_iter()
                .collect(),
            security: match taken.is_empty() {
                true => Vec::new(),
                false => vec![format!("privs-={}", taken.join(","))],
            },
        }
    }
}

proptest! {
    #[test]
    fn what_is_written_reads_back_as_the_same(spec in settings()) {
        let text = spec.text().unwrap();
        prop_assert_eq!(SpecFile::parse(&text).unwrap(), spec, "{}", text);
    }

    #[test]
    fn any_text_is_read_or_told_by_its_line(text in "(general:|mount:|\t|[a-z]+|=|\"|\\\\|\n|.){0,60}") {
        if let Err(error) = SpecFile::parse(&text) {
            prop_assert!(error.line >= 1 && error.line <= text.lines().count());
        }
    }
}
