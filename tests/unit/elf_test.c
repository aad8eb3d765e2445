/* SPDX-License-Identifier: PostgreSQL */
#include "cli/elf.h"

#include <elf.h>
#include <fcntl.h>
#include <sys/mman.h>

#include "support/check.h"

static int read_bytes(const void *bytes, size_t length, struct tine_elf *elf)
{
	int fd = memfd_create("elf", MFD_CLOEXEC), rc;

	CHECK_INT(write(fd, bytes, length), ==, length);
	rc = tine_elf_read(fd, elf);
	close(fd);
	return rc;
}

TEST(reads_this_program)
{
	int fd = open("/proc/self/exe", O_RDONLY);
	struct tine_elf elf;

	CHECK_INT(tine_elf_read(fd, &elf), ==, 0);
	CHECK_INT(elf.class, ==, sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32);
	CHECK_CONTAINS(elf.interpreter, "/ld");
}

TEST(tells_what_is_not_elf)
{
	struct tine_elf elf;

	CHECK_INT(read_bytes("", 0, &elf), ==, -ENOEXEC);
	CHECK_INT(read_bytes("#!/bin/sh\n", 10, &elf), ==, -ENOEXEC);
	CHECK_INT(read_bytes("\177ELF", 4, &elf), ==, -ENOEXEC);
}

/* Every byte of a real file's head set to extreme values: no crash, and nothing but a clear answer.
 */
TEST(survives_damage)
{
	static uint8_t image[4096];
	int fd = open("/proc/self/exe", O_RDONLY);
	struct tine_elf elf;

	CHECK_INT(read(fd, image, sizeof(image)), ==, sizeof(image));
	for (size_t i = 4; i < 1024; i++) {
		static const uint8_t values[] = { 0, 0x7f, 0x80, 0xff };
		uint8_t before = image[i];

		for (size_t v = 0; v < sizeof(values); v++) {
			int rc;

			image[i] = values[v];
			rc = read_bytes(image, sizeof(image), &elf);
			CHECK(rc == 0 || rc == -ENOEXEC);
			CHECK(memchr(elf.interpreter, '\0', sizeof(elf.interpreter)));
		}
		image[i] = before;
	}
}

CHECK_TABLE(T(reads_this_program), T(tells_what_is_not_elf), T(survives_damage))
