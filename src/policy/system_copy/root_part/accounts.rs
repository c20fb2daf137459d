//! The accounts of a fresh system: those that the distribution and its packages made, none of people.
//!
//! Nobody can log in with a password: what the base has of them is not passed on.

use std::collections::BTreeSet;

/// The account files, as paths without a leading `/`.
pub const FILES: [&str; 6] = [
    "etc/passwd",
    "etc/group",
    "etc/shadow",
    "etc/gshadow",
    "etc/subuid",
    "etc/subgid",
];

/// First number of people's accounts, unless `login.defs` says otherwise.
const FIRST_OF_PEOPLE: u32 = 1000;
/// The account of nobody.
const NOBODY: u32 = 65534;

/// The contents of [`FILES`] in their order, where the base has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::policy) struct Accounts(pub(in crate::policy) [Option<Vec<u8>>; 6]);

/// Of the accounts of a base those that a fresh system has. `login_defs` is its `/etc/login.defs`.
pub(in crate::policy) fn of_system(base: &Accounts, login_defs: &[u8]) -> Accounts {
    let [passwd, group, shadow, gshadow, _, _] = &base.0;
    let first = |key: &[u8]| defined(login_defs, key).unwrap_or(FIRST_OF_PEOPLE);
    let (first_user, first_group) = (first(b"UID_MIN"), first(b"GID_MIN"));
    let passwd: Vec<_> = rows(passwd, first_user).collect();
    let group: Vec<_> = rows(group, first_group).collect();
    let names = |rows: &[Row<'_>]| rows.iter().map(|row| row.name().to_vec()).collect();
    let users: BTreeSet<Vec<u8>> = names(&passwd);
    let groups: BTreeSet<Vec<u8>> = names(&group);
    let passwd = passwd.into_iter().map(|row| match row.field(1) {
        b"x" | b"*" | b"!" => row,
        _ => row.with(1, b"*"),
    });
    let group = group.into_iter().map(|row| {
        let password: &[u8] = if row.field(1) == b"x" { b"x" } else { b"*" };
        row.with(1, password).with_members(3, &users)
    });
    let shadow = of_names(shadow, &users).map(|row| row.with(1, locked(row.field(1))));
    let gshadow = of_names(gshadow, &groups).map(|row| {
        let row = row.with(1, locked(row.field(1)));
        row.with_members(2, &users).with_members(3, &users)
    });
    let has = |at: usize| base.0.get(at).is_some_and(Option::is_some);
    let texts = [
        text(passwd),
        text(group),
        text(shadow),
        text(gshadow),
        Vec::new(),
        Vec::new(),
    ];
    let mut at = 0;
    Accounts(texts.map(|text| {
        at += 1;
        has(at - 1).then_some(text)
    }))
}

/// No password opens it. What was locked stays so in its own way.
fn locked(password: &[u8]) -> &[u8] {
    match password {
        b"*" | b"!" | b"!*" | b"!!" => password,
        _ => b"*",
    }
}

/// A line of fields with colons between them.
#[derive(Clone, Debug)]
struct Row<'a>(Vec<std::borrow::Cow<'a, [u8]>>);

impl<'a> Row<'a> {
    fn new(line: &'a [u8]) -> Self {
        let fields = line.split(|&byte| byte == b':');
        Self(fields.map(Into::into).collect())
    }

    fn field(&self, at: usize) -> &[u8] {
        self.0.get(at).map(AsRef::as_ref).unwrap_or_default()
    }

    fn name(&self) -> &[u8] {
        self.field(0)
    }

    fn with(&self, at: usize, value: &[u8]) -> Self {
        let mut row = self.clone();
        if let Some(field) = row.0.get_mut(at) {
            *field = value.to_vec().into();
        }
        row
    }

    /// Without members that are not in `users`.
    fn with_members(&self, at: usize, users: &BTreeSet<Vec<u8>>) -> Self {
        let members = self.field(at).split(|&byte| byte == b',');
        let kept: Vec<_> = members.filter(|name| users.contains(*name)).collect();
        self.with(at, &kept.join(&b','))
    }
}

/// Lines whose third field is a number of the system's own.
fn rows(text: &Option<Vec<u8>>, first_of_people: u32) -> impl Iterator<Item = Row<'_>> {
    lines(text).map(Row::new).filter(move |row| {
        let number = std::str::from_utf8(row.field(2)).ok();
        let number = number.and_then(|text| text.parse::<u32>().ok());
        number.is_some_and(|number| number < first_of_people || number == NOBODY)
    })
}

/// Lines of these names.
fn of_names<'a>(
    text: &'a Option<Vec<u8>>,
    names: &'a BTreeSet<Vec<u8>>,
) -> impl Iterator<Item = Row<'a>> {
    let rows = lines(text).map(Row::new);
    rows.filter(|row| names.contains(row.name()))
}

fn lines(text: &Option<Vec<u8>>) -> impl Iterator<Item = &[u8]> {
    let lines = text.as_deref().unwrap_or_default().split(|&b| b == b'\n');
    // NIS entries and comments are the site's.
    lines.filter(|line| !line.is_empty() && !line.starts_with(b"+") && !line.starts_with(b"#"))
}

fn text<'a>(rows: impl Iterator<Item = Row<'a>>) -> Vec<u8> {
    let mut text = Vec::new();
    for Row(fields) in rows {
        text.extend(fields.join(&b':'));
        text.push(b'\n');
    }
    text
}

/// A number in `login.defs`.
fn defined(text: &[u8], key: &[u8]) -> Option<u32> {
    let mut lines = text.split(|&byte| byte == b'\n');
    lines.find_map(|line| {
        let mut words = line
            .split(u8::is_ascii_whitespace)
            .filter(|word| !word.is_empty());
        (words.next()? == key).then(|| std::str::from_utf8(words.next()?).ok()?.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accounts(texts: [&str; 6]) -> Accounts {
        Accounts(texts.map(|text| (!text.is_empty()).then(|| text.as_bytes().to_vec())))
    }

    const BASE: [&str; 6] = [
        "root:x:0:0:root:/root:/bin/bash\n\
         daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n\
         old:$1$abc:30:30::/:/bin/sh\n\
         anna:x:1000:1000:Anna,,,:/home/anna:/bin/bash\n\
         nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n\
         broken\n\
         +::::::\n",
        "root:x:0:\nadm:x:4:daemon,anna\nsecret:hash:5:\nanna:x:1000:\nnogroup:x:65534:\n",
        "root:$y$hash:20000:0:99999:7:::\ndaemon:*:20000:0:99999:7:::\n\
         anna:$y$other:20000:0:99999:7:::\nold:!$1$abc:1::::::\n",
        "root:*::\nadm:!:anna:daemon,anna\nanna:!::\n",
        "anna:100000:65536\n",
        "",
    ];

    #[test]
    fn no_people_no_passwords() {
        let made = of_system(&accounts(BASE), b"");
        let expected = [
            "root:x:0:0:root:/root:/bin/bash\n\
             daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n\
             old:*:30:30::/:/bin/sh\n\
             nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
            "root:x:0:\nadm:x:4:daemon\nsecret:*:5:\nnogroup:x:65534:\n",
            "root:*:20000:0:99999:7:::\ndaemon:*:20000:0:99999:7:::\nold:*:1::::::\n",
            "root:*::\nadm:!::daemon\n",
        ];
        for (at, text) in expected.iter().enumerate() {
            let found = made.0[at].as_deref().unwrap();
            assert_eq!(std::str::from_utf8(found).unwrap(), *text);
        }
        assert_eq!(made.0[4].as_deref(), Some(&b""[..]));
        assert_eq!(made.0[5], None, "what the base has not is not made");
    }

    #[test]
    fn where_people_begin_is_what_the_system_says() {
        let defs = b"# comment\nUID_MIN\t\t 30\nGID_MIN 5\n";
        let made = of_system(&accounts(BASE), defs);
        let passwd = String::from_utf8(made.0[0].clone().unwrap()).unwrap();
        assert!(
            !passwd.contains("old:") && passwd.contains("daemon:"),
            "{passwd}"
        );
        let group = String::from_utf8(made.0[1].clone().unwrap()).unwrap();
        assert!(
            !group.contains("secret") && group.contains("nogroup"),
            "{group}"
        );
    }
}
