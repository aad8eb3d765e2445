/* SPDX-License-Identifier: PostgreSQL */
/*
 * The look-up of names, as a test wants it. Without a test's function nothing is different.
 */
#ifndef TINE_TESTS_UNIT_POOL_NAMES_H
#define TINE_TESTS_UNIT_POOL_NAMES_H

/* Called in the thread that looks a name up, which may be held there.
 * @return the address that the name has; NULL: it has none */
extern const char *(*names_on_lookup)(const char *name);

#endif
