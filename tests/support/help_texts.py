"""What the programs say to --help."""

import re
import subprocess

from . import paths


def help_by_verb(program, *verb):
    """Help texts of a program by its verbs: "" is the program itself, "spool list" a verb's verb."""
    text = subprocess.run([program, *verb, "--help"], stdout=subprocess.PIPE, check=True, text=True).stdout
    found = {" ".join(verb): text}
    _, _, verbs = text.partition("\nSubcommands:\n")
    for line in verbs.splitlines():
        if re.match(r"  \w", line):
            found.update(help_by_verb(program, *verb, line.split()[0]))
    return found


def help_texts():
    """Program to its help text, with those of its verbs."""
    programs = [*((path.name, path) for path in sorted((paths.BUILD / "bin").iterdir())),
                ("telem-deliver", paths.TELEM_DELIVER)]
    return {name: "".join(help_by_verb(path).values()) for name, path in programs
            if name != "telem_journal"}


def parse_options(text):
    """Of "-f, --file FILE": its spellings, and what stands behind them."""
    spellings = re.findall(r"(?:^|, ?)(--?[\w-]+)", text)
    value = re.search(r"[^,] (\S+)$", text)
    return tuple(spellings), value[1] if value else ""


def options_in_help(text):
    """Those at the beginnings of its lines."""
    spelled = (line.strip().split("  ")[0] for line in text.splitlines() if re.match(r" {2,6}-", line))
    # CLI11 says also in which range a value is, and which options do not go together.
    return {parse_options(re.sub(r" Excludes:.*|:INT in .*", "", option)) for option in spelled}
