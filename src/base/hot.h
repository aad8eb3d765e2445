/* SPDX-License-Identifier: PostgreSQL */
/*
 * What every hooked call reads stands side by side: between two statements of a program its other
 * code and the kernel use up the caches, so that each page and each line that we look at costs more
 * than what we do with it.
 */
#ifndef TINE_BASE_HOT_H
#define TINE_BASE_HOT_H

/* Of a variable: with the others of its kind. Nothing that is written at every call. */
#define TINE_HOT __attribute__((section("tine_hot")))

/* Of a function that every statement passes through: their code stands together too. */
#define TINE_HOT_CODE __attribute__((hot))

#endif
