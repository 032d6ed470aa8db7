//! The binary's command line, as a shell or systemd sees it.

use std::process::{Command, Output};

fn tidegate(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.args(arguments).env_clear().envs(variables.iter().copied());
    command.output().expect("the binary runs")
}

fn example() -> &'static str {
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/systemd/tidegate.toml")
}

#[test]
fn version_and_help_answer_on_standard_output() {
    let version = tidegate(&["--version"], &[]);
    assert_eq!((version.status.code(), &*version.stdout), (Some(0), &b"tidegate 0.1.0\n"[..]));
    let help = tidegate(&["--help"], &[]);
    let text = String::from_utf8(help.stdout).expect("help is text");
    assert_eq!(help.status.code(), Some(0));
    for word in ["--config", "check", "Examples:", "Exit codes:"] {
        assert!(text.contains(word), "{word} is not in\n{text}");
    }
}

#[test]
fn check_prints_what_is_in_force() {
    let variables = [("TIDEGATE_SSE_S3__KEY", "hunter2"), ("TIDEGATE_PREFETCH__WINDOW", "8")];
    let output = tidegate(&["check", "--config", example()], &variables);
    let page = String::from_utf8(output.stdout).expect("the page is text");
    assert_eq!((output.status.code(), &*output.stderr), (Some(0), &b""[..]), "{page}");
    assert!(page.contains("window = 8  # TIDEGATE_PREFETCH__WINDOW\n"), "{page}");
    assert!(page.contains("key = \"********\"  # TIDEGATE_SSE_S3__KEY\n"), "{page}");
    assert!(!page.contains("hunter2"), "{page}");
}

#[test]
fn a_wrong_configuration_ends_with_one_line_and_code_2() {
    for (arguments, variables, line) in [
        (
            &["--config", example()][..],
            &[("TIDEGATE_LOG__LEVL", "info")][..],
            "tidegate: TIDEGATE_LOG__LEVL: log.levl: unknown key; did you mean log.level?\n",
        ),
        (
            &["check", "--config", "/nowhere/t.toml"],
            &[],
            "tidegate: /nowhere/t.toml: no such file; create it or correct the path\n",
        ),
    ] {
        let output = tidegate(arguments, variables);
        assert_eq!(output.status.code(), Some(2));
        assert_eq!(String::from_utf8(output.stderr).expect("the line is text"), line);
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn a_wrong_command_line_ends_with_code_2() {
    let output = tidegate(&["--confg", "x"], &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--config"));
}
