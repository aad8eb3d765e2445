/* SPDX-License-Identifier: PostgreSQL */
/* Histograms of times by powers of two. Plain data; whoever writes owns it or holds its lock. */
#ifndef TINE_POOL_HISTOGRAM_H
#define TINE_POOL_HISTOGRAM_H

#include "base/histogram.h"
#include "tine/tine.h"

static inline int tine_histogram_bucket(uint64_t us)
{
	return tine_bucket(us, TINE_HISTOGRAM_BUCKETS);
}

static inline void tine_histogram_add(tine_histogram *histogram, uint64_t us)
{
	histogram->count++;
	histogram->sum_us += us;
	histogram->bucket[tine_histogram_bucket(us)]++;
}

#endif
