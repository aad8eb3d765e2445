/* SPDX-License-Identifier: PostgreSQL */
/*
 * The examination of live processes.
 *
 * Locks: none. Fork: nothing to do.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "base/exit.h"
#include "doctor/doctor.h"
#include "doctor/report.h"

int tine_doctor_live(struct tine_report *report, const struct tine_doctor_options *options)
{
	if (options->pid && kill(options->pid, 0) < 0 && errno == ESRCH) {
		tine_doctor_fail(TINE_EXIT_SYSTEM, "there is no process %d", options->pid);
		return -ESRCH;
	}
	json_object_set_new(tine_report_facts(report, "live"), "pid", json_integer(options->pid));
	return 0;
}
