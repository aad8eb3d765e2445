/* SPDX-License-Identifier: PostgreSQL */
/*
 * The few facts of an ELF file that decide whether a library can be preloaded into it. The file is
 * not trusted: every offset and length read from it is checked.
 */
#ifndef TINE_CLI_ELF_H
#define TINE_CLI_ELF_H

#include <stdbool.h>
#include <stdint.h>

struct tine_elf {
	uint8_t class; /* ELFCLASS32, ELFCLASS64 */
	uint16_t machine;
	char interpreter[256]; /* program interpreter; "" in a static file or a shared library */
	bool complete;         /* not cut off: the section headers, which come last, are there */
	bool needs_libasan;    /* links GCC's AddressSanitizer runtime dynamically */
};

/** Read the facts of an open file.
 *  @return 0, -ENOEXEC when it is not ELF of this byte order or damaged, or -errno */
int tine_elf_read(int fd, struct tine_elf *ret_elf);

#endif
