//! Flags as Go's flag package spells them: `-listenAddress` for `--listen-address`.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;

use clap::Command;

/// Rewrites Go's spelling into clap's: one dash or two, `listenAddress` or `listen-address`, with
/// `=value` or without. What names no flag stays as it is, but for its second dash: then a
/// misspelt flag is compared with the right ones and not taken for a heap of short ones.
pub(super) fn respell(
    command: &Command,
    arguments: impl IntoIterator<Item = OsString>,
) -> Vec<OsString> {
    let mut long = BTreeMap::new();
    let mut short = BTreeSet::new();
    for command in std::iter::once(command).chain(command.get_subcommands()) {
        for argument in command.get_arguments() {
            long.extend(argument.get_long().map(|name| (key(name), name.to_owned())));
            short.extend(argument.get_short());
        }
    }
    let mut open = true;
    let respell = |argument: OsString| {
        open &= argument != "--";
        let Some(text) = argument.to_str().filter(|_| open) else { return argument };
        let Some(flag) = text.strip_prefix('-') else { return argument };
        let flag = flag.strip_prefix('-').unwrap_or(flag);
        if flag.starts_with('-') {
            return argument;
        }
        let (name, value) = flag.split_at(flag.find('=').unwrap_or(flag.len()));
        let plain = name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '-');
        match long.get(&key(name)) {
            Some(name) if plain && key(name).len() > 1 => format!("--{name}{value}").into(),
            None if plain
                && name.len() > 1
                && !name.starts_with(|letter| short.contains(&letter)) =>
            {
                format!("--{flag}").into()
            }
            _ => argument,
        }
    };
    arguments.into_iter().map(respell).collect()
}

/// What all spellings of a flag have in common.
fn key(name: &str) -> String {
    name.chars().filter(|letter| *letter != '-').map(|letter| letter.to_ascii_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use clap::{Arg, ArgAction};

    use super::*;

    #[test]
    fn spellings() {
        let get = Command::new("get").arg(Arg::new("d").short('d').long("data"));
        let mut command = Command::new("mock")
            .arg(Arg::new("listen").long("listen-address"))
            .arg(Arg::new("echo").long("echo-tcp"))
            .arg(Arg::new("v").short('v').long("verbose").action(ArgAction::Count))
            .subcommand(get);
        command.build();
        let table = [
            ("-listenAddress :80", "--listen-address :80"),
            ("--listenAddress=:80", "--listen-address=:80"),
            ("-listen-address :80", "--listen-address :80"),
            ("--listen-address :80", "--listen-address :80"),
            ("-echoTCP=:1 -echoTcp :2", "--echo-tcp=:1 --echo-tcp :2"),
            ("-help", "--help"),
            ("get -data a", "get --data a"),
            ("get -da -v -vv - x", "get -da -v -vv - x"),
            ("-listenAdress :80", "--listenAdress :80"),
            ("-v -- -listenAddress", "-v -- -listenAddress"),
            ("-1 ---listenAddress", "-1 ---listenAddress"),
        ];
        for (given, expected) in table {
            let given = given.split(' ').map(OsString::from);
            let respelt: Vec<_> = respell(&command, given)
                .into_iter()
                .map(|argument| argument.into_string().unwrap())
                .collect();
            assert_eq!(respelt.join(" "), expected);
        }
    }
}
