/* SPDX-License-Identifier: PostgreSQL */
/*
 * The wire recorder. A chunk is what one read took from one end, before any fault was applied:
 *
 *	{"t_us":12,"link":1,"from":"client","bytes":41,"records":["Q"]}
 *
 * A record is named in the chunk in which its head is complete; "D*3" are three in a row.
 */
#include "proxy.h"

#include <string.h>

static void write_run(struct proxy *proxy)
{
	if (proxy->record_run.count == 0)
		return;
	fprintf(proxy->record, "%s\"%s", proxy->record_run.first ? "" : ",",
		proxy->record_run.name);
	if (proxy->record_run.count > 1)
		fprintf(proxy->record, "*%u", proxy->record_run.count);
	fputc('"', proxy->record);
	proxy->record_run.first = false;
	proxy->record_run.count = 0;
}

void record_begin(struct proxy *proxy, const struct link *link, enum side from, size_t length)
{
	if (!proxy->record)
		return;
	fprintf(proxy->record,
		"{\"t_us\":%llu,\"link\":%llu,\"from\":\"%s\",\"bytes\":%zu,\"records\":[",
		(unsigned long long)now_us(), (unsigned long long)link->number,
		from == CLIENT ? "client" : "server", length);
	proxy->record_run.first = true;
}

void record_name(struct proxy *proxy, const char *name)
{
	if (!proxy->record)
		return;
	if (proxy->record_run.count > 0 && strcmp(proxy->record_run.name, name) != 0)
		write_run(proxy);
	strcpy(proxy->record_run.name, name);
	proxy->record_run.count++;
}

void record_end(struct proxy *proxy)
{
	if (!proxy->record)
		return;
	write_run(proxy);
	fputs("]}\n", proxy->record);
}
