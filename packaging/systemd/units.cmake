# Every unit of ours by name, and where systemd looks for what is installed. Relative to the prefix, so
# that an installation below /usr/local is found, too.
set(TELEMETRICS_SYSTEMD_DIR lib/systemd CACHE STRING
  "Where systemd looks for system/, system-preset/ and system-generators/")
set(TELEMETRICS_LIB_DIR lib CACHE STRING "Where systemd looks for sysusers.d/ and tmpfiles.d/")

# Those that start only where the user consents, and which of them `telemctl start` starts: what stays,
# what starts others when there is something to do, and what looks once for what earlier boots left.
# (In place of crashprobe-setup it starts crashprobe-watch where crash_forward says so.)
set(TELEM_STARTED_UNITS telemd.socket telemd.path telem-deliver.socket hprobe.timer
  klogscanner.service oops-probe.service pstore-clean.service pstore-probe.service
  bert-probe.service)
set(TELEM_UNITS ${TELEM_STARTED_UNITS} telemd.service telem-deliver@.service hprobe.service)
if(TARGET crashprobe)
  list(APPEND TELEM_STARTED_UNITS crashprobe-setup.service crashprobe-counts.timer)
  list(APPEND TELEM_UNITS
    crashprobe-setup.service crashprobe.socket crashprobe@.service
    crashprobe-counts.service crashprobe-counts.timer crashprobe-watch.service)
endif()
if(TARGET journalprobe)
  list(APPEND TELEM_STARTED_UNITS journal-probe.service)
  list(APPEND TELEM_UNITS journal-probe.service)
endif()

# Takes the records of other machines, whose users were asked there.
set(TELEM_COLLECTOR_UNITS)
if(TELEMETRICS_COLLECTOR)
  list(APPEND TELEM_COLLECTOR_UNITS telem-collector.service)
endif()
