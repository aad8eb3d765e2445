/* SPDX-License-Identifier: PostgreSQL */
/* To be found, nothing else. */
int only_there(void);

int only_there(void)
{
	return 1;
}
