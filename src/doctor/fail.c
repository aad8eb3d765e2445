/* SPDX-License-Identifier: PostgreSQL */
/*
 * What the doctor says on standard error. Owns nothing. Locks: none. Fork: nothing to do.
 */
#include <stdarg.h>
#include <stdio.h>

#include "doctor/doctor.h"

int tine_doctor_fail(int status, const char *format, ...)
{
	char line[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	for (char *p = line; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';
	fprintf(stderr, "tine: doctor: %s\n", line);
	return status;
}
