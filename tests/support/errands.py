"""What the tests of consent ask each program to do. A program that is missing here fails them."""

# How each program is called for the things that it would report, store or send something for.
ERRANDS = {
    "bertprobe": [["-f", "{config}", "--table", "/proc/cpuinfo"]],
    "crashprobe": [["-f", "{config}", "-c", "/proc/self/exe"]],
    "hprobe": [["-f", "{config}"]],
    "journalprobe": [["-f", "{config}", "--directory", "/etc"]],
    "klogscanner": [["-f", "{config}"]],
    "oopsprobe": [["-f", "{config}"]],
    "pstoreclean": [["-f", "{config}"]],
    "pstoreprobe": [["-f", "{config}"]],
    "telem-record-gen": [["-f", "{config}", "-c", "org.example/a/b", "-p", "secret"]],
    "telemetrics-generator": [["{config}.units"]],
    "telemctl": [["--config-file", "{config}", *verb] for verb in (
        ["status"], ["preview"], ["doctor"], ["test"], ["spool", "list"], ["spool", "flush"],
        ["rejected", "list"], ["journal"], ["config"])],
    "telemd": None,  # has a test of its own, and telem-deliver, which it would start, a part in that
}
NO_PART = {
    "telem-collector": "takes the records of other machines, whose users were asked there",
    "telem-deliver": "has no configuration and is started by telemd, or by hand with a URL",
}
