/* SPDX-License-Identifier: PostgreSQL */
/*
 * Exit statuses of tine's programs.
 */
#ifndef TINE_BASE_EXIT_H
#define TINE_BASE_EXIT_H

enum tine_exit {
	TINE_EXIT_OK = 0,
	TINE_EXIT_NO = 1,           /* the answer is no */
	TINE_EXIT_USAGE = 100,      /* wrong command line or TINE_… variable */
	TINE_EXIT_SYSTEM = 111,     /* a system call failed */
	TINE_EXIT_CANNOT_RUN = 126, /* as env(1): CMD was found but is not run */
	TINE_EXIT_NOT_FOUND = 127,  /* as env(1) */
};

#endif
