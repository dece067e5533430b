/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * libtelemetry: create a telemetry record and hand it over to telemd, the telemetry daemon.
 *
 *   struct telem_ref *record;
 *   int error = tm_create_record(&record, 1, "org.example/backup/failed", 1);
 *   if (error == 0) {
 *     error = tm_set_payload(record, "disk full\n");
 *     if (error == 0) error = tm_send_record(record);
 *     tm_free_record(record);
 *   }
 *
 * Build with `cc probe.c $(pkg-config --cflags --libs libtelemetry)`.
 *
 * Functions that return int return 0 on success and a negative errno value on failure; on failure
 * nothing is changed. They never print, log, exit, raise a signal or start a thread, and leave no
 * descriptor open. They may be called from several threads at once, and after fork, as long as one
 * record is used by one thread at a time. -EINVAL where a pointer is NULL, -ENOMEM where memory is
 * short, from every one of them.
 */
#ifndef TELEMETRY_H
#define TELEMETRY_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A record that is being made. Only its address is of use to callers. */
struct telem_ref {
  struct telem_record* record;
};

/*
 * Takes the configuration from `c_file` instead of /etc/telemetrics/telemetrics.conf (or, where
 * that is missing, /usr/share/defaults/telemetrics/telemetrics.conf): an absolute path of an
 * existing regular file. A file is read once in the life of a process. What is wrong in it is
 * passed over and the default holds; `telemctl config` shows it.
 *
 * -ENOENT  there is no such file
 * -EINVAL  the path is not absolute, or names something else than a file
 */
int tm_set_config_file(const char* c_file);

/*
 * Creates a record and stores it in `*t_ref`. Give it back with tm_free_record().
 *
 * `severity` is 1 (low), 2 (medium), 3 (high) or 4 (critical); other values are taken as the
 * nearest of these. `classification` is DOMAIN/PROBE/REST: three parts of 1 to 40 printable ASCII
 * characters, two slashes. `payload_version` is the version of the format of your payload.
 *
 * -EINVAL  the classification is not of that form
 */
int tm_create_record(struct telem_ref** t_ref, uint32_t severity, const char* classification,
                     uint32_t payload_version);

/*
 * Gives the record an event id instead of the random one it has: exactly 32 characters of
 * 0123456789abcdef. Records with the same event id belong to the same event.
 *
 * -EINVAL  the event id is not of that form
 */
int tm_set_event_id(struct telem_ref* t_ref, const char* event_id);

/*
 * Sets the payload, any bytes up to a NUL, at most 256 KiB. They are copied. A record without a
 * payload is sent with an empty one.
 *
 * -EINVAL  the payload is larger than 256 KiB
 */
int tm_set_payload(struct telem_ref* t_ref, const char* payload);

/*
 * Sends the record to telemd and waits for its answer, for a second at most. 0 means that telemd
 * has taken the record over and keeps it, also when it is killed in the next instant. May be called
 * again, after a failure to try again.
 *
 * -ECONNREFUSED  the user has opted out of telemetry, or telemd does not run
 * -ENOENT        telemd does not run: its socket is not there
 * -ETIMEDOUT     telemd did not answer within a second
 * -EIO           telemd ended while it had the record and may or may not have taken it over, or it
 *                could not store it
 * -ENOSPC        telemd's spool is full
 * -EDQUOT        the limit on records in a time is reached, and telemd drops what is above it
 * -E2BIG         telemd takes no record of this size
 * -EINVAL        telemd takes no record like this
 * Others as socket(2) and connect(2) report them (-EACCES, -EMFILE, ...).
 */
int tm_send_record(struct telem_ref* t_ref);

/* Frees the record and `t_ref` itself. NULL is allowed and does nothing. */
void tm_free_record(struct telem_ref* t_ref);

/* 1 while the user allows that records are collected, else 0. */
int tm_is_opted_in(void);

#ifdef __cplusplus
}
#endif

#endif
