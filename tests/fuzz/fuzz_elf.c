/* SPDX-License-Identifier: PostgreSQL */
/* Any file can be named as a command. */
#include "cli/elf.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);
	struct tine_elf elf;

	if (fd < 0 || write(fd, bytes, length) != (ssize_t)length)
		__builtin_trap();
	tine_elf_read(fd, &elf);
	if (!memchr(elf.interpreter, '\0', sizeof(elf.interpreter)))
		__builtin_trap();
	close(fd);
	return 0;
}
