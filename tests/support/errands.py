"""What the tests of consent ask each program to do. A program that is missing here fails them."""

# What each program is asked to do: the thing that it would report or store something for.
ERRANDS = {
    "bertprobe": ["-f", "{config}", "--table", "/proc/cpuinfo"],
    "crashprobe": ["-f", "{config}", "-c", "/proc/self/exe"],
    "hprobe": ["-f", "{config}"],
    "journalprobe": ["-f", "{config}", "--directory", "/etc"],
    "klogscanner": ["-f", "{config}"],
    "oopsprobe": ["-f", "{config}"],
    "pstoreclean": ["-f", "{config}"],
    "pstoreprobe": ["-f", "{config}"],
    "telem-record-gen": ["-f", "{config}", "-c", "org.example/a/b", "-p", "secret"],
    "telemetrics-generator": ["{config}.units"],
    "telemctl": ["-f", "{config}", "status"],
    "telemd": None,  # has a test of its own
}
NO_PART = {
    "telem-collector": "takes the records of other machines, whose users were asked there",
    "telem-deliver": "has no configuration and is started by telemd, or by hand with a URL",
}
